package metrics

import (
	"sort"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pavise.dev/pavise/audit"
)

// counts is a counter with one or two labels of known words, whose series are found without
// memory.
type counts struct {
	vec    *prometheus.CounterVec
	labels int
	known  map[[2]string]prometheus.Counter
}

func newCounts(name, help string, labels ...string) *counts {
	return &counts{counters(name, help, labels...), len(labels), map[[2]string]prometheus.Counter{}}
}

func (c *counts) of(first, second string) prometheus.Counter {
	values := [2]string{first, second}
	counter := c.known[values]
	if counter == nil {
		counter = c.vec.WithLabelValues(values[:c.labels]...)
		c.known[values] = counter
	}
	return counter
}

// forget drops the series of a first label.
func (c *counts) forget(first string) {
	for values := range c.known {
		if values[0] == first {
			delete(c.known, values)
			c.vec.DeleteLabelValues(values[:c.labels]...)
		}
	}
}

// kind is a kind of request: the labels of its counter, all of known words.
type kind struct {
	endpoint                       Endpoint
	method, decision, code, status string
}

// series are the counters and histograms of one kind of request.
type series struct {
	count, in, out prometheus.Counter
	duration       *histogram
	timing         *timing // of its endpoint
}

// timed is what durations are told apart by.
type timed struct {
	endpoint Endpoint
	decision string
}

// timing is the histogram of an endpoint's upstream, made when it first answers.
type timing struct {
	endpoint Endpoint
	duration *histogram
	upstream *histogram
}

// newSeries finds the counters of a kind. When there are as many kinds as may be, those that
// come are counted together, for each endpoint and decision.
func (m *Metrics) newSeries(k kind) *series {
	if len(m.series) >= m.most {
		k.method, k.code, k.status = Other, Other, ""
		if s := m.series[k]; s != nil {
			return s
		}
	}
	s := &series{
		count: m.requests.WithLabelValues(k.endpoint.API, k.endpoint.Name, k.method, k.decision, k.code, k.status),
		in:    m.bytes.WithLabelValues(k.endpoint.API, "in"), out: m.bytes.WithLabelValues(k.endpoint.API, "out"),
		timing: m.timing(timed{endpoint: k.endpoint}),
	}
	s.duration = m.timing(timed{k.endpoint, k.decision}).duration
	m.series[k] = s
	return s
}

func (m *Metrics) timing(t timed) *timing {
	if known := m.timings[t]; known != nil {
		return known
	}
	made := &timing{endpoint: t.endpoint}
	if t.decision != "" {
		made.duration = newHistogram(m.duration.WithLabelValues(t.endpoint.API, t.endpoint.Name, t.decision), requestBuckets())
	}
	m.timings[t] = made
	return made
}

func (s *series) upstream(m *Metrics) *histogram {
	if s.timing.upstream == nil {
		at := s.timing.endpoint
		s.timing.upstream = newHistogram(m.upstream.WithLabelValues(at.API, at.Name), requestBuckets())
	}
	return s.timing.upstream
}

// requestBuckets are bounds of what requests take, in seconds.
func requestBuckets() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// partBuckets are bounds of what a part of the path takes, in seconds.
func partBuckets() []float64 {
	return []float64{1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, .001, .0025, .01, .1, 1}
}

// histogram is one of Prometheus, which now and then names a request as an example. The newest
// one of each bucket is kept, but one in a while is enough: an example needs memory.
type histogram struct {
	prometheus.Observer
	bounds []float64
	named  []time.Time // when the example of each bucket was
}

// exampleEvery is how long an example stands until another takes its place.
const exampleEvery = 10 * time.Second

func newHistogram(o prometheus.Observer, bounds []float64) *histogram {
	return &histogram{o, bounds, make([]time.Time, len(bounds)+1)}
}

func (h *histogram) observe(took time.Duration, e *audit.Event) {
	seconds := took.Seconds()
	at := sort.SearchFloat64s(h.bounds, seconds)
	since := e.Time.Sub(h.named[at])
	examples, ok := h.Observer.(prometheus.ExemplarObserver)
	if !ok || !isWord(e.ID) || since >= 0 && since < exampleEvery {
		h.Observe(seconds)
		return
	}
	h.named[at] = e.Time
	examples.ObserveWithExemplar(seconds, exampleOf(e))
}

// exampleOf names a request: by its id, for pavise explain, and by its trace, if it is recorded.
func exampleOf(e *audit.Event) prometheus.Labels {
	labels := prometheus.Labels{"request_id": strings.Clone(e.ID)}
	if e.Sampled && isWord(e.Trace) {
		labels["trace_id"] = strings.Clone(e.Trace)
	}
	return labels
}

// isWord holds examples to what Prometheus takes (128 characters in all), whoever made the id.
func isWord(s string) bool {
	return s != "" && len(s) <= 40 && strings.IndexFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	}) < 0
}
