package leak_test

import (
	"fmt"

	"pavise.dev/pavise/leak"
)

func ExampleScanner() {
	s, err := leak.New(map[leak.Kind]leak.Action{leak.Card: leak.Mask, leak.Email: leak.Mask, leak.Trace: leak.Block})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := s.JSON([]byte(`{ "note": "ada@example.com paid with 4111 1111 1111 1111", "total": 12.50 }`), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", result.Text)
	for _, f := range result.Found {
		fmt.Println(f.Kind, f.Count, f.Pointer)
	}
	// Output:
	// { "note": "a***@example.com paid with ************1111", "total": 12.50 }
	// card 1 /note
	// email 1 /note
}
