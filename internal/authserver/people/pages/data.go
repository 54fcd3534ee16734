package pages

import "html/template"

// Form is what every form of a page needs.
type Form struct {
	Action string
	Token  string // against forged requests
	Title  string // of the page
	Error  string // what was wrong with the last try, in words for the person
	Note   string // what happened, if it was good
}

// App is an application as people see it.
type App struct {
	Name    string
	Host    string // to which the answer goes
	Contact string
	Policy  string // address; only http and https
}

// Way is another way to sign in.
type Way struct{ Name, Address string }

// SignInData is the first page of signing in.
type SignInData struct {
	Form
	App      *App // nil: for one's own account
	Login    string
	Password bool // accounts of our own may sign in
	Ways     []Way
	Unfit    []string // others that cannot confirm that somebody signed in just now, which is wanted
	Device   string
}

// SecondData asks for the second factor.
type SecondData struct {
	Form
	Proof string
}

// PasswordData asks for a new password.
type PasswordData struct {
	Form
	Proof   string
	Login   string
	Minimum int
	Current bool // the present one is asked for, too
}

// ChooseData asks whether to go on as who is signed in.
type ChooseData struct {
	Form
	App   *App
	Who   string
	Login string
}

// Item is one thing that is asked for.
type Item struct {
	Name  string
	Text  string
	Fixed bool // cannot be left out
	Known bool // allowed before
}

// ConsentData asks for consent.
type ConsentData struct {
	Form
	App        App
	Who        string
	Items      []Item
	APIs       []string
	Lifetime   string
	Offline    bool
	Device     string
	Unreviewed bool
	Account    string // address where it can be withdrawn
}

// DeviceData asks for a device's code.
type DeviceData struct{ Form }

// DoneData says that something is done.
type DoneData struct {
	Form
	Text string
	Next string // address to go on; empty: none
	More string // text of the link
}

// ErrorData says what went wrong.
type ErrorData struct {
	Form
	Code      string
	Text      string
	RequestID string
	Next      string // address to go on; empty: none
	More      string // text of the link
}

// SignOutData asks whether to sign out.
type SignOutData struct {
	Form
	Who string
}

// GrantRow is one application on the account page.
type GrantRow struct {
	ID, Name, Host, Since, Until, Used string
	Scopes                             []string
}

// SessionRow is one sign-in on the account page.
type SessionRow struct {
	ID, Agent, From, Since, Seen string
	This                         bool
}

// LinkRow is a way to sign in through others, on the account page.
type LinkRow struct {
	Name, Since, Address, ID string
	Joined                   bool
	Last                     bool // the only way in: it cannot be disconnected
}

// AccountData is a person's own page.
type AccountData struct {
	Form
	Who, Login, Email  string
	Grants             []GrantRow
	Sessions           []SessionRow
	Links              []LinkRow
	HasPassword        bool
	HasTOTP            bool
	Codes              int
	SignOut            string
	PasswordPage, TOTP string
}

// TOTPData sets up an authenticator app.
type TOTPData struct {
	Form
	Proof   string
	Secret  string // in groups
	URI     template.URL
	Picture template.HTML // an SVG element; empty: none
}

// CodesData shows recovery codes, once.
type CodesData struct {
	Form
	Codes []string
	Next  string
}

// samples is data with everything and with as little as there can be.
func samples(name string) []any {
	form := Form{"/x", "token", "Title", "Wrong", "Done"}
	app := &App{"Name", "app.example", "mail", "https://app.example/policy"}
	return map[string][]any{
		SignIn:   {SignInData{}, SignInData{form, app, "ada", true, []Way{{"Other", "/x"}}, []string{"Old"}, "ABCD-EFGH"}},
		Second:   {SecondData{}, SecondData{form, "proof"}},
		Password: {PasswordData{}, PasswordData{form, "proof", "ada", 12, true}},
		Choose:   {ChooseData{}, ChooseData{form, app, "Ada", "ada"}},
		Consent: {ConsentData{}, ConsentData{
			form, *app, "Ada", []Item{{"a", "A", true, true}, {"b", "", false, false}}, []string{"orders"}, "1 hour", true, "ABCD", true, "/account",
		}},
		Device:  {DeviceData{}, DeviceData{form}},
		Done:    {DoneData{}, DoneData{form, "Text", "/x", "More"}},
		Error:   {ErrorData{}, ErrorData{form, "code", "Text", "id", "/x", "More"}},
		SignOut: {SignOutData{}, SignOutData{form, "Ada"}},
		Account: {AccountData{}, AccountData{
			form, "Ada", "ada", "a@example.com",
			[]GrantRow{{"id", "App", "host", "s", "u", "u", []string{"a"}}},
			[]SessionRow{{"id", "Browser", "192.0.2.1", "s", "s", true}},
			[]LinkRow{{"Other", "s", "/x", "id", true, false}, {"Last", "s", "/x", "id", true, true}, {Name: "O"}},
			true, true, 3, "/sign-out", "/p", "/t",
		}},
		TOTP:  {TOTPData{}, TOTPData{form, "proof", "ABCD EFGH", "otpauth://totp/x", "<svg></svg>"}},
		Codes: {CodesData{}, CodesData{form, []string{"abcd"}, "/x"}},
	}[name]
}
