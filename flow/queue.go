package flow

// timed is what a queue orders: by when it is over. It knows its own place.
type timed interface {
	comparable
	when() int64
	place() *int
}

// queue is a heap: the first one is over the soonest.
type queue[T timed] []T

func (q queue[T]) first() (none T) {
	if len(q) == 0 {
		return none
	}
	return q[0]
}

func (q *queue[T]) add(one T) {
	*one.place() = len(*q)
	*q = append(*q, one)
	q.up(len(*q) - 1)
}

// moved puts one at its place after its time has changed.
func (q queue[T]) moved(one T) {
	q.up(*one.place())
	q.down(*one.place())
}

func (q *queue[T]) remove(one T) {
	at, last := *one.place(), len(*q)-1
	q.swap(at, last)
	var none T
	(*q)[last] = none
	*q = (*q)[:last]
	if at < last {
		q.moved((*q)[at])
	}
}

func (q queue[T]) swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	*q[i].place(), *q[j].place() = i, j
}

func (q queue[T]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if q[parent].when() <= q[i].when() {
			return
		}
		q.swap(i, parent)
		i = parent
	}
}

func (q queue[T]) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(q); child++ {
			if q[child].when() < q[least].when() {
				least = child
			}
		}
		if least == i {
			return
		}
		q.swap(i, least)
		i = least
	}
}
