package inventory

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"

	"pavise.dev/pavise/internal/finding"
)

//go:embed inventory.html
var page string

type inventoryPage struct {
	*Inventory

	Style  template.CSS
	Policy string
	When   string
	Report *finding.Report
}

// WriteHTML writes an inventory, with its findings, as one page that needs nothing else.
func (v *Inventory) WriteHTML(w io.Writer, findings *finding.Report) error {
	parsed, err := template.New("inventory").Funcs(template.FuncMap{"day": day}).Parse(page)
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	style, policy := finding.PageStyle()
	shown := inventoryPage{Inventory: v, Style: template.CSS(style), Policy: policy, When: v.Time.UTC().Format(time.RFC1123), Report: findings} //nolint:gosec // it is ours
	var b bytes.Buffer
	if err := parsed.Execute(&b, shown); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.DateOnly)
}
