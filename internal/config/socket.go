package config

import (
	"path/filepath"

	"go.yaml.in/yaml/v4"
)

// Socket returns where a gateway that was started with this file listens for
// administration, as far as the file can still be read: nothing but state.folder and
// state.socket is looked at, and nothing is refused. It is for the moment in which a
// credential has to be revoked and somebody has just left the file half edited.
func Socket(name string) (string, error) {
	absolute, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	text, err := readFile(absolute, maxFile)
	if err != nil {
		return "", err
	}
	var f struct {
		State struct {
			Folder string `yaml:"folder"`
			Socket string `yaml:"socket"`
		} `yaml:"state"`
	}
	if yaml.Unmarshal(text, &f) != nil {
		f.State.Folder, f.State.Socket = "", "" // then it is where it is by default
	}
	dir := filepath.Dir(absolute)
	folder := under(dir, f.State.Folder, "pavise-data")
	return under(dir, f.State.Socket, filepath.Join(folder, "admin.sock")), nil
}

func under(dir, name, preset string) string {
	if name == "" {
		name = preset
	}
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}
