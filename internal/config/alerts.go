package config

// Alerts are what is watched for, who is told of it, and what is done.
type Alerts struct {
	Detecting
	Telling
}
