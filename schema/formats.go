package schema

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// formats are those of OpenAPI's own registry that say something of a value.
func formats() []*jsonschema.Format {
	return []*jsonschema.Format{
		{Name: "int32", Validate: wholeNumber(32)},
		{Name: "int64", Validate: wholeNumber(64)},
		{Name: "byte", Validate: func(v any) error {
			text, ok := v.(string)
			if !ok {
				return nil
			}
			if strings.ContainsAny(text, "\r\n") {
				return base64.CorruptInputError(0) // Go's decoder steps over them
			}
			_, err := base64.StdEncoding.Strict().DecodeString(text)
			return err
		}},
	}
}

func wholeNumber(bits int) func(any) error {
	return func(v any) error {
		number, ok := v.(json.Number)
		if !ok {
			return nil // the type says the rest
		}
		if strings.ContainsAny(string(number), ".eE") { // 1e2 is a whole number, too
			f, err := number.Float64()
			if limit := math.Ldexp(1, bits-1); err != nil || f != math.Trunc(f) || f < -limit || f >= limit {
				return errRange
			}
			return nil
		}
		if _, err := strconv.ParseInt(string(number), 10, bits); err != nil {
			return errRange
		}
		return nil
	}
}

var errRange = errors.New("out of range")
