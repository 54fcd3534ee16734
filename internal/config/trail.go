package config

import "time"

// Trail is what makes the event log evidence for others, and how much of it is kept.
type Trail struct {
	Name      string    `yaml:"name" doc:"Name of the log in its checkpoints, and of the key that signs them. It should stay the same: who verifies checkpoints elsewhere knows the key by it. Default: the name of the machine." pattern:"^[!-*,-~]{1,255}$" hint:"like orders.example.com: no blanks and no plus"`
	KeepClass KeepClass `yaml:"keep_class" doc:"How long records of some classes are kept, where that is not keep. Of what is over nothing but its hash stays, and a segment goes when all that is in it is over."`
}

// KeepClass says how long the records of some classes are kept.
type KeepClass struct {
	Request    Duration `yaml:"request" doc:"Requests." min:"1h" max:"3650d"`
	Connection Duration `yaml:"connection" doc:"Faults of connections." min:"1h" max:"3650d"`
	Admin      Duration `yaml:"admin" doc:"Administrative acts." min:"1h" max:"3650d"`
	Grant      Duration `yaml:"grant" doc:"What the authorization server did." min:"1h" max:"3650d"`
	Detection  Duration `yaml:"detection" doc:"What detections found." min:"1h" max:"3650d"`
	System     Duration `yaml:"system" doc:"What Pavise says of itself." min:"1h" max:"3650d"`
}

// Times are those that are set, by the names of the classes.
func (k *KeepClass) Times() map[string]time.Duration {
	set := map[string]time.Duration{}
	for class, keep := range map[string]Duration{
		"request": k.Request, "connection": k.Connection, "admin": k.Admin, "grant": k.Grant, "detection": k.Detection, "system": k.System,
	} {
		if keep.Duration > 0 {
			set[class] = keep.Duration
		}
	}
	return set
}
