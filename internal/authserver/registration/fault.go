package registration

import (
	"fmt"
	"maps"
	"strings"

	"pavise.dev/pavise/internal/authserver/protocol"
)

// Fault says why a registration cannot be, and which of its settings would have to be
// another, so that whoever asked is told in his own words: a flag, a member of JSON.
type Fault struct {
	Setting string // "redirects", "auth", …
	Message string
}

// Error is the message.
func (f *Fault) Error() string { return f.Message }

func fault(setting, format string, args ...any) error {
	return &Fault{Setting: setting, Message: fmt.Sprintf(format, args...)}
}

// Describe returns the settings of a registration with what holds where they are silent:
// how the client proves who it is, what it may use, what people read, what its tokens are.
// There is no secret among them.
func Describe(id string, settings map[string]string) (map[string]string, error) {
	c, err := read(id, settings)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(settings)
	if all == nil {
		all = map[string]string{}
	}
	all["auth"], all["name"], all["tokens"] = c.Auth, c.Name, "jwt"
	if c.Opaque {
		all["tokens"] = "opaque"
	}
	short := map[string]string{protocol.DeviceCode: "device_code", protocol.TokenExchange: "token_exchange"}
	grants := make([]string, 0, len(c.Grants))
	for _, grant := range c.Grants {
		if name, ok := short[grant]; ok {
			grant = name
		}
		grants = append(grants, grant)
	}
	all["grants"] = strings.Join(grants, " ")
	return all, nil
}
