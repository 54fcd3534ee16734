package revocation

import (
	"cmp"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of lists that are fetched.
const (
	MaxList  = 64 << 20  // bytes of DER: about 1.8 million certificates
	maxLists = 256       // kept at once
	maxKept  = 4_000_000 // certificates on all of them: about 100 MB
)

// fetched is a list that was had at an address.
type fetched struct {
	*List
	had  had
	used atomic.Int64 // how often it was looked at since there was room; for making more
}

// key names a list: several authorities may share an address, and one authority may have
// several.
type listKey struct {
	issuer  [32]byte
	address string
}

// lists are the newest lists that were fetched.
type lists struct {
	kept sync.Map // listKey → *fetched
	mu   sync.Mutex
}

func (s *lists) find(k listKey) *fetched {
	found, ok := s.kept.Load(k)
	if !ok {
		return nil
	}
	l, _ := found.(*fetched) // nothing else is kept
	return l
}

// about returns what the lists that are known say of a certificate, nil if none is known.
func (s *lists) about(l *Link) *word {
	for _, address := range l.cert.CRLDistributionPoints[:min(len(l.cert.CRLDistributionPoints), maxAddresses)] {
		list := s.find(listKey{l.signer, address})
		if list != nil && list.scope.covers(l.cert, address) == nil {
			return list.about(l)
		}
	}
	return nil
}

func (f *fetched) about(l *Link) *word {
	f.used.Add(1)
	w := &word{from: f.From, until: f.Until, had: &f.had}
	w.revoked, _ = f.RevokedAt(&l.serial)
	return w
}

// fetchList gets the list at an address, and says what it says of a certificate.
func (c *Checker) fetchList(ctx context.Context, l *Link, address string, now time.Time) (*word, error) {
	key := listKey{l.signer, address}
	_, err := c.once(ctx, "crl "+address+" "+string(l.signer[:]), now, func(ctx context.Context) (*word, error) {
		if known := c.lists.find(key); known != nil && c.isFresh(&word{from: known.From, until: known.Until, had: &known.had}, now) {
			return &word{}, nil
		}
		der, _, err := c.settings.Fetch.Get(ctx, address, MaxList)
		if err != nil {
			return nil, err
		}
		if err := c.lists.take(der, key, l, now); err != nil {
			return nil, fmt.Errorf("the list at %s: %w", address, err)
		}
		return &word{}, nil
	})
	if err != nil {
		return nil, err
	}
	list := c.lists.find(key)
	if list == nil {
		return nil, errors.New("the list is gone again: there are too many")
	}
	if err := list.scope.covers(l.cert, address); err != nil {
		return nil, fmt.Errorf("the list at %s: %w", address, err)
	}
	return list.about(l), nil
}

// take reads a list and keeps it, unless a newer one is known.
func (s *lists) take(der []byte, key listKey, l *Link, now time.Time) error {
	if block, _ := pem.Decode(der); block != nil && block.Type == "X509 CRL" {
		der = block.Bytes // against RFC 5280 §4.2.1.13, and seen
	}
	list, err := ParseList(der)
	if err != nil {
		return err
	}
	switch {
	case now.Add(skew).Before(list.From):
		return fmt.Errorf("it begins at %s", list.From.UTC().Format(time.RFC3339))
	case !now.Before(list.Until):
		return fmt.Errorf("it ended at %s", list.Until.UTC().Format(time.RFC3339))
	}
	if !list.scope.isAt(key.address) {
		return errElsewhere // whoever sits on the way may send any other list of the authority
	}
	if err := list.SignedBy(l.issuer); err != nil {
		return fmt.Errorf("it is not signed by %s: %w", l.issuer.Subject, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.find(key); known != nil && known.After(list) {
		list = known.List
	}
	s.makeRoom(key, list.Len())
	next := &fetched{List: list}
	next.had.at = now
	s.kept.Store(key, next)
	return nil
}

// makeRoom forgets the lists that were looked at the least since the last time.
func (s *lists) makeRoom(key listKey, more int) {
	type one struct {
		key  any
		list *fetched
		used int64
	}
	var all []one
	total := more
	s.kept.Range(func(k, found any) bool {
		if list, ok := found.(*fetched); ok && k != any(key) {
			all = append(all, one{k, list, list.used.Load()})
			total += list.Len()
		}
		return true
	})
	if len(all) < maxLists && total <= maxKept {
		return
	}
	slices.SortFunc(all, func(a, b one) int { return cmp.Compare(a.used, b.used) })
	for _, o := range all {
		o.list.used.Store(0)
	}
	for i := 0; i < len(all) && (len(all)-i >= maxLists || total > maxKept); i++ {
		s.kept.Delete(all[i].key)
		total -= all[i].list.Len()
	}
}
