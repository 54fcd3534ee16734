package schedule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/finding"
)

// book is all that is kept, but for the reports themselves.
type book struct {
	Version  int              `json:"version"`
	Seed     string           `json:"seed"` // of the delays
	Tasks    map[string]*task `json:"tasks"`
	Findings []*Finding       `json:"findings"`
	Days     []Day            `json:"days"`
	Waiting  []waiting        `json:"waiting,omitempty"`
}

// task is what is known of a task.
type task struct {
	Plan    string    `json:"plan"` // under which Done was counted
	Done    time.Time `json:"done"` // all moments up to this one had their run, or will have none
	Running *running  `json:"running,omitempty"`
	Ended   int       `json:"ended"` // how many runs there were
	Runs    []Run     `json:"runs"`  // the newest, oldest first
}

// running is a run that is under way, or during which the program ended.
type running struct {
	Due   time.Time `json:"due,omitzero"`
	By    string    `json:"by,omitempty"`
	Began time.Time `json:"began"`
	Tries int       `json:"tries"`
}

// Bounds of what is kept.
const (
	bookVersion = 1
	maxBook     = 64 << 20 // bytes
	maxRuns     = 400      // of each task, with their reports
	maxReport   = 16 << 20 // bytes
	maxDays     = 1200
)

func (b *book) task(name string) *task {
	t := b.Tasks[name]
	if t == nil {
		t = &task{Runs: []Run{}}
		b.Tasks[name] = t
	}
	return t
}

// ended keeps a run.
func (b *book) ended(t *task, r Run) {
	t.Ended++
	t.Runs = append(t.Runs, r)
	if more := len(t.Runs) - maxRuns; more > 0 {
		t.Runs = slices.Delete(t.Runs, 0, more)
	}
}

// forget leaves out what is older than it is to be kept. What is open is kept.
func (b *book) forget(now time.Time, keep time.Duration) {
	if keep <= 0 {
		return
	}
	end := now.Add(-keep)
	b.Findings = slices.DeleteFunc(b.Findings, func(f *Finding) bool { return !f.IsOpen() && f.until().Before(end) })
	for _, t := range b.Tasks {
		t.Runs = slices.DeleteFunc(t.Runs, func(r Run) bool { return r.Ended.Before(end) })
	}
	b.Days = slices.DeleteFunc(b.Days, func(d Day) bool { return d.Date < end.Format(time.DateOnly) })
	if more := len(b.Days) - maxDays; more > 0 {
		b.Days = slices.Delete(b.Days, 0, more)
	}
}

// store is the folder in which the book and the reports lie.
type store struct{ folder string }

const (
	bookFile      = "book.json"
	reportsFolder = "reports"
)

func (s store) read() (*book, error) {
	b := &book{Version: bookVersion, Tasks: map[string]*task{}}
	name := filepath.Join(s.folder, bookFile)
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil && info.Size() > maxBook {
		err = fmt.Errorf("it has more than %d bytes", maxBook)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read what was found before: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(b); err != nil {
		return nil, fmt.Errorf("read what was found before: %s is damaged; put it back from a backup, or remove it: then everything is new: %w", name, err)
	}
	if b.Version != bookVersion || b.Tasks == nil || slices.Contains(b.Findings, nil) {
		return nil, fmt.Errorf("read what was found before: %s is of version %d, and this program knows %d", name, b.Version, bookVersion)
	}
	for _, t := range b.Tasks {
		if t == nil {
			return nil, fmt.Errorf("read what was found before: %s is damaged; put it back from a backup, or remove it: then everything is new", name)
		}
	}
	return b, nil
}

// write keeps the book. Firm is what a loss of power must not undo: what a run found, and what is to
// be told of it. That it has begun, or that all was told, is found out again.
func (s store) write(b *book, firm bool) error {
	text, err := json.Marshal(b)
	if err == nil {
		err = s.replace(filepath.Join(s.folder, bookFile), append(text, '\n'))
	}
	if err == nil && firm {
		err = syncFolder(s.folder)
	}
	if err != nil {
		return fmt.Errorf("keep what was found: %w", err)
	}
	return nil
}

// replace writes a file in one step: whoever reads finds the one before, or this one, whole.
func (s store) replace(name string, text []byte) error {
	folder := filepath.Dir(name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// keepReport writes a report into a file of its own, and returns its name.
func (s store) keepReport(task string, began time.Time, report *finding.Report) (string, error) {
	var text bytes.Buffer
	err := finding.WriteJSON(&text, report)
	if err == nil && text.Len() > maxReport {
		err = fmt.Errorf("it has more than %d bytes", maxReport)
	}
	name := task + "-" + began.UTC().Format("20060102T150405.000Z") + ".json"
	if err == nil {
		err = s.replace(filepath.Join(s.folder, reportsFolder, name), text.Bytes())
	}
	if err != nil {
		return "", fmt.Errorf("keep the report of %s: %w", task, err)
	}
	return name, nil
}

// Report reads a report that was kept.
func (k *Scheduler) Report(name string) (*finding.Report, error) {
	if !k.hasReport(name) {
		return nil, fmt.Errorf("there is no report %.80q", name)
	}
	text, err := os.ReadFile(filepath.Join(k.store.folder, reportsFolder, name))
	if err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	report := &finding.Report{}
	if err := json.Unmarshal(text, report); err != nil {
		return nil, fmt.Errorf("read the report %s: %w", name, err)
	}
	return report, nil
}

func (k *Scheduler) hasReport(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return name != "" && k.book.reports()[name]
}

func (b *book) reports() map[string]bool {
	all := map[string]bool{}
	for _, t := range b.Tasks {
		for _, r := range t.Runs {
			if r.Report != "" {
				all[r.Report] = true
			}
		}
	}
	return all
}

// sweep removes the reports of runs that are not kept any more.
func (s store) sweep(b *book) error {
	wanted := b.reports()
	entries, err := os.ReadDir(filepath.Join(s.folder, reportsFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if name := e.Name(); !wanted[name] && (strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".json.new")) {
			err = errors.Join(err, os.Remove(filepath.Join(s.folder, reportsFolder, name)))
		}
	}
	if err != nil {
		return fmt.Errorf("remove old reports: %w", err)
	}
	return nil
}
