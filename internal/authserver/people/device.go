package people

import (
	"net/http"

	"pavise.dev/pavise/internal/authserver/people/pages"
)

// devicePath is where the form with a device's code is posted to.
const devicePath = "/device"

// DevicePrompt asks for the code that a device shows; wrong: the last one was none.
func (s *Service) DevicePrompt(w http.ResponseWriter, r *http.Request, wrong bool) error {
	v, err := s.visit(w, r)
	if err != nil {
		return err
	}
	if err := s.know(v); err != nil {
		return err
	}
	form, status := pages.Form{Action: s.base + devicePath, Token: s.token(v, s.base+devicePath), Title: "Connect a device"}, http.StatusOK
	if wrong {
		form.Error, status = "There is no such code, or it is too old. Look at your device again.", http.StatusUnprocessableEntity
	}
	return s.pages.Write(w, status, pages.Device, pages.DeviceData{Form: form}, "")
}

// DeviceCode returns the code of a form of [Service.DevicePrompt] that was posted, as it
// was typed; false if the form is not one that this browser was shown.
func (s *Service) DeviceCode(w http.ResponseWriter, r *http.Request) (string, bool, error) {
	v, err := s.visit(w, r)
	if err != nil {
		return "", false, err
	}
	if err := s.form(v, s.base+devicePath); err != nil {
		s.tell(v, Event{Action: EventForged, Detail: err.Error()})
		return "", false, nil
	}
	return cut(v.value("user_code"), 32), true, nil
}

// DeviceDone says that a device was connected, or refused.
func (s *Service) DeviceDone(w http.ResponseWriter, _ *http.Request, granted bool) error {
	data := pages.DoneData{Form: pages.Form{Title: "Refused"}, Text: "The device gets no access. You can close this page."}
	if granted {
		data = pages.DoneData{Form: pages.Form{Title: "Connected"}, Text: "Your device goes on by itself. You can close this page."}
	}
	data.Next, data.More = s.base+"/account", "Your account"
	return s.pages.Write(w, http.StatusOK, pages.Done, data, "")
}

// ErrorPage says what went wrong to a person who cannot be sent back to an application.
func (s *Service) ErrorPage(w http.ResponseWriter, _ *http.Request, status int, code, text, requestID string) error {
	title := "That did not work"
	if status >= 500 {
		title = "Something is wrong here"
	}
	return s.pages.Write(w, status, pages.Error, pages.ErrorData{
		Form: pages.Form{Title: title}, Code: cut(code, 64), Text: cut(text, 400), RequestID: cut(requestID, 64),
	}, "")
}
