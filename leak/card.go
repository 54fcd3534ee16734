package leak

// maxCard is the longest card number (ISO/IEC 7812-1).
const maxCard = 19

// isCard reads a card number: one run of digits, or groups as they stand on a card, all
// parted by blanks or all by hyphens. It must not be part of something longer.
func isCard(text []byte, at, _ int) (from, to int, ok bool) {
	if text[at] < '2' || text[at] > '6' || isWord(before(text, at)) { // most are out here
		return 0, 0, false
	}
	n, end := cardNumber(text, at)
	digits, alone := n.digits[:n.length], n.groups == 1
	if !isIssued(digits) || !n.isGrouped() || !beginsCard(text, at, alone) || !endsCard(text, end, alone) || !isLuhn(digits) {
		return 0, 0, false
	}
	return at, end, true
}

// minCard is the shortest card number that is looked for.
const minCard = 14

// number is what could be a card's.
type number struct {
	digits [maxCard + 1]byte
	length int
	group  [5]int // their lengths
	groups int
}

// cardNumber reads digits and the lengths of their groups. What is too long to be a number of
// a card ends with one digit too many.
func cardNumber(text []byte, at int) (n number, end int) {
	var between byte
	n.groups = 1
	for end = at; end < len(text) && n.length <= maxCard; end++ {
		c := text[end]
		if isDigit(c) {
			n.digits[n.length] = c - '0'
			n.length++
			n.group[n.groups-1]++
			continue
		}
		if (c != ' ' && c != '-') || !isDigit(after(text, end+1)) || between != 0 && c != between || n.group[n.groups-1] >= minCard || n.groups == len(n.group) {
			break
		}
		between = c
		n.groups++
	}
	return n, end
}

// beginsCard reports whether what stands before a number lets it be a whole one.
func beginsCard(text []byte, at int, alone bool) bool {
	c, earlier := before(text, at), before(text, at-1)
	switch {
	case isWord(c), c == '+', c == '@':
		return false
	case c == '-':
		return !isWord(earlier)
	case c == '.':
		return !isDigit(earlier)
	case c == ' ':
		return alone || !isDigit(earlier)
	}
	return true
}

// endsCard reports whether what follows does.
func endsCard(text []byte, end int, alone bool) bool {
	c, later := after(text, end), after(text, end+1)
	switch {
	case isWord(c), c == '@':
		return false
	case c == '-':
		return !isWord(later)
	case c == '.':
		return !isDigit(later)
	case c == ' ':
		return alone || !isDigit(later)
	}
	return true
}

// isGrouped reports whether digits stand as on a card.
func (n *number) isGrouped() bool {
	g := n.group
	switch n.groups {
	case 1:
		return true
	case 3: // American Express, Diners Club
		return g[0] == 4 && g[1] == 6 && (g[2] == 5 || g[2] == 4)
	case 4, 5:
		return g[0] == 4 && g[1] == 4 && g[2] == 4 && g[3] == 4 && g[4] <= 3
	}
	return false
}

// isIssued reports whether an issuer gives out numbers of this prefix and length.
func isIssued(digits []byte) bool {
	if len(digits) < minCard || len(digits) > maxCard {
		return false
	}
	prefix := func(n int) (value int) {
		for _, d := range digits[:n] {
			value = value*10 + int(d)
		}
		return value
	}
	n := len(digits)
	two, three, four := prefix(2), prefix(3), prefix(4)
	switch {
	case digits[0] == 4: // Visa
		return n == 16 || n == 19
	case two >= 51 && two <= 55, four >= 2221 && four <= 2720: // Mastercard
		return n == 16
	case two == 34, two == 37: // American Express
		return n == 15
	case four == 6011, three >= 644 && three <= 649, two == 65: // Discover
		return n >= 16
	case four >= 3528 && four <= 3589: // JCB
		return n >= 16
	case three >= 300 && three <= 305, two == 36, two == 38, two == 39: // Diners Club
		return n == 14 || n == 16
	case two == 62: // UnionPay
		return n >= 16
	case four == 5018, four == 5020, four == 5038, four == 5893, four == 6304, four == 6759, four >= 6761 && four <= 6763: // Maestro
		return n >= 16
	}
	return false
}

// isLuhn checks the last digit (ISO/IEC 7812-1, annex B).
func isLuhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i])
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
