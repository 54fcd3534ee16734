// Package metrics says in numbers how a gateway is: for Prometheus, and whatever else reads its
// formats.
//
// What happens is counted from events, as they are written to the log ([Metrics.See]): beside
// the request's path, and exactly what the log holds. How things stand (places, sinks,
// certificates, the log) is asked when somebody scrapes ([Metrics.Show]).
//
// The number of series is bounded by construction. APIs and endpoints are those of the
// configuration ([Metrics.Know]); methods, codes, acts and the like are lists in known.go; every
// other value becomes "other". No label holds a client, a user, an address, a path or a
// credential.
//
//	metrics.go   what is counted
//	series.go    the counters of one kind of request, found without memory
//	known.go     the values that labels may have
//	state.go     how things stand
//	serve.go     /metrics, /livez, /readyz, and who may read them
package metrics

import (
	"cmp"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"pavise.dev/pavise/audit"
)

// Endpoint is an endpoint of the configuration, as events name it.
type Endpoint struct{ API, Name string }

// Options are what [New] needs. The zero value works.
type Options struct {
	Started time.Time // when the first configuration was put in force
	Series  int       // kinds of requests that are counted apart, at most; 0: 50,000
}

const defaultSeries = 50_000

// Metrics counts events and shows them. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	most     int
	state    stateCollector

	requests, bytes        *prometheus.CounterVec
	duration, upstream     *prometheus.HistogramVec
	written                prometheus.Counter
	reloaded, wellReloaded prometheus.Gauge

	methods, decisions, codes, steps, actions, granted, severities, detections words

	mu        sync.Mutex // of what follows
	faults    *counts
	acts      *counts
	grants    *counts
	alerts    *counts
	parts     [audit.Parts]*histogram
	endpoints map[Endpoint]Endpoint
	apis      words
	series    map[kind]*series
	timings   map[timed]*timing
}

// New makes metrics of an installation that has seen nothing yet.
func New(o Options) *Metrics {
	m := &Metrics{
		registry: prometheus.NewPedanticRegistry(), most: cmp.Or(o.Series, defaultSeries),
		requests: counters("pavise_requests_total", "Requests, by endpoint, method, decision, code of the refusal, and class of the answer's status.", "api", "endpoint", "method", "decision", "code", "status"),
		bytes:    counters("pavise_bytes_total", "Bytes of bodies: in, what callers sent; out, what they got.", "api", "direction"),
		faults:   newCounts("pavise_connection_faults_total", "Faults below a request: in handshakes, framing, limits of the edge.", "step", "code"),
		acts:     newCounts("pavise_admin_acts_total", "Administrative acts and reloads.", "action", "decision"),
		grants:   newCounts("pavise_grants_total", "What the authorization server granted, issued, revoked, and sign-ins.", "action"),
		alerts:   newCounts("pavise_alerts_total", "Incidents that detections opened.", "detection", "severity"),
		duration: histograms("pavise_request_duration_seconds", "From the first step to the last byte of the answer.", requestBuckets(), "api", "endpoint", "decision"),
		upstream: histograms("pavise_upstream_duration_seconds", "What the upstream took to begin its answer.", requestBuckets(), "api", "endpoint"),
		written:  prometheus.NewCounter(prometheus.CounterOpts{Name: "pavise_events_written_total", Help: "Events that were written to the log, those that stand for several as one."}),
		reloaded: gaugeOf("pavise_configuration_last_reload_timestamp_seconds", "When a configuration was last put in force, or refused."),
		methods:  methods(), decisions: decisions(), codes: codes(), steps: steps(), actions: acts(), granted: grants(),
		severities: severities(), detections: wordsOf(),
	}

	m.wellReloaded = gaugeOf("pavise_configuration_last_reload_successful", "Whether the last configuration that was read is in force (1), or the one before it still is (0).")
	m.wellReloaded.Set(1)
	if !o.Started.IsZero() {
		m.reloaded.Set(secondsOf(o.Started))
	}
	parts := histograms("pavise_part_duration_seconds", "What each part of the path took, before the upstream.", partBuckets(), "part")
	for p := range m.parts {
		m.parts[p] = newHistogram(parts.WithLabelValues(audit.Part(p).String()), partBuckets())
	}
	m.registry.MustRegister(
		m.requests, m.bytes, m.faults.vec, m.acts.vec, m.grants.vec, m.alerts.vec, m.duration, m.upstream, parts, m.written, m.reloaded, m.wellReloaded,
		buildInfo(), &m.state, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.Know(nil)
	return m
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

func gaugeOf(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

// Know says which endpoints there are. What was counted of others is forgotten, so that reloads
// do not add up; events of theirs that come late count as other.
func (m *Metrics) Know(endpoints []Endpoint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.endpoints
	m.endpoints, m.apis = map[Endpoint]Endpoint{{}: {}}, wordsOf()
	for _, e := range endpoints {
		m.endpoints[e], m.apis[e.API] = e, e.API
	}
	for e := range before {
		if _, still := m.endpoints[e]; still {
			continue
		}
		gone := prometheus.Labels{"api": e.API, "endpoint": e.Name}
		m.requests.DeletePartialMatch(gone)
		m.duration.DeletePartialMatch(gone)
		m.upstream.DeletePartialMatch(gone)
		if _, still := m.apis[e.API]; !still {
			m.bytes.DeletePartialMatch(prometheus.Labels{"api": e.API})
		}
	}
	m.series, m.timings = map[kind]*series{}, map[timed]*timing{}
}

// Watch says which detections there are, with their severities. What was counted of others is
// forgotten.
func (m *Metrics) Watch(detections []Incident) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.detections
	m.detections = wordsOf()
	for _, d := range detections {
		m.detections[d.Detection] = d.Detection
	}
	for name := range before {
		if _, still := m.detections[name]; !still {
			m.alerts.forget(name)
		}
	}
	for _, d := range detections {
		m.alerts.of(d.Detection, m.severities.of(d.Severity)).Add(0) // so that the first one is an increase
	}
}

// See counts an event. It is what [audit.Options.Written] calls: it keeps nothing of the event,
// waits for nobody but a scrape's beginning, and needs no memory for kinds of events that it
// has seen before.
func (m *Metrics) See(_ uint64, e *audit.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.written.Inc()
	stands := float64(max(e.Count, 1))
	switch e.Class {
	case audit.Request:
		m.request(e, stands)
	case audit.Connection:
		m.faults.of(m.steps.of(e.Step), m.codes.of(e.Code)).Add(stands)
	case audit.Admin:
		m.acts.of(m.actions.of(e.Action), m.decisions.of(string(e.Decision))).Inc()
		m.reload(e)
	case audit.Grant:
		m.grants.of(m.granted.of(e.Action), "").Inc()
	case audit.Detection:
		if e.Action == "began" {
			m.alerts.of(m.detections.of(e.Code), m.severities.of(e.Warning)).Inc()
		}
	}
}

// reload notices that a configuration was put in force, or was not.
func (m *Metrics) reload(e *audit.Event) {
	if e.Action != "reload" && e.Action != "reload_refused" {
		return
	}
	m.reloaded.Set(secondsOf(e.Time))
	m.wellReloaded.Set(0)
	if e.Action == "reload" {
		m.wellReloaded.Set(1)
	}
}

func secondsOf(t time.Time) float64 { return float64(t.UnixNano()) / float64(time.Second) }

// request counts a request. What stands for many refusals has no durations of its own, and that
// of an upgraded connection says how long somebody stayed, not how quick anything was.
func (m *Metrics) request(e *audit.Event, stands float64) {
	endpoint, ok := m.endpoints[Endpoint{e.API, e.Endpoint}]
	if !ok {
		endpoint = Endpoint{m.apis.of(e.API), Other}
	}
	k := kind{endpoint, m.methods.of(e.Method), m.decisions.of(string(e.Decision)), m.codes.of(e.Code), classOf(e.Status)}
	s := m.series[k]
	if s == nil {
		s = m.newSeries(k)
	}
	s.count.Add(stands)
	if e.Count > 0 {
		return
	}
	s.in.Add(float64(max(e.BytesIn, 0)))
	s.out.Add(float64(max(e.BytesOut, 0)))
	if e.Duration > 0 && e.Note != "upgraded" {
		s.duration.observe(e.Duration, e)
	}
	if e.UpstreamDuration > 0 {
		s.upstream(m).observe(e.UpstreamDuration, e)
	}
	for p, took := range e.Took {
		if took > 0 {
			m.parts[p].observe(took, e)
		}
	}
}
