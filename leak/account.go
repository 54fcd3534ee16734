package leak

// ibans are the forms of account numbers (ISO 13616).
type ibans struct {
	forms   map[string]ibanForm // by country
	lengths [26 * 26]uint8      // by country, counted from AA; 0: there is none
}

func newIBANs() *ibans {
	all := &ibans{forms: ibanForms()}
	for country, form := range all.forms {
		all.lengths[place(country[0], country[1])] = uint8(form.length())
	}
	return all
}

// place is the number of a country's letters, in either case.
func place(a, b byte) int { return int(a&^0x20-'A')*26 + int(b&^0x20-'A') }

// at reads an account number: without blanks, or in groups of four. The form of its country
// and the check digits must fit.
func (all *ibans) at(text []byte, at, _ int) (from, to int, ok bool) {
	length := int(all.lengths[place(text[at], text[at+1])])
	if length == 0 || isWord(before(text, at)) || (text[at] < 'a') != (text[at+1] < 'a') {
		return 0, 0, false
	}
	number, end := ibanText(text, at, length)
	if number == nil || isWord(after(text, end)) || !isMod97(number) || !all.forms[string(number[:2])].fits(number[4:]) {
		return 0, 0, false
	}
	return at, end, true
}

// ibanText takes so many letters and digits, in upper case; nil if there are fewer.
func ibanText(text []byte, at, length int) (number []byte, end int) {
	number = make([]byte, 0, length)
	grouped := after(text, at+4) == ' '
	for end = at; end < len(text) && len(number) < length; end++ {
		c := text[end]
		switch {
		case isDigit(c):
			number = append(number, c)
		case isLetter(c):
			number = append(number, c&^0x20)
		case c == ' ' && grouped && len(number)%4 == 0 && text[end-1] != ' ':
		default:
			return nil, end
		}
	}
	if len(number) < length {
		return nil, end
	}
	return number, end
}

// isMod97 checks the check digits (ISO/IEC 7064).
func isMod97(number []byte) bool {
	rest := 0
	add := func(c byte) {
		if isDigit(c) {
			rest = (rest*10 + int(c-'0')) % 97
		} else {
			rest = (rest*100 + int(c-'A') + 10) % 97
		}
	}
	for _, c := range number[4:] {
		add(c)
	}
	for _, c := range number[:4] {
		add(c)
	}
	return rest == 1
}

// ibanForm is what stands behind the country and the check digits: counts of digits (n),
// letters (a), and either (c), as the registry writes it.
type ibanForm string

func (f ibanForm) length() int {
	sum := 4
	f.parts(func(n int, _ byte) bool { sum += n; return true })
	return sum
}

func (f ibanForm) fits(text []byte) bool {
	return f.parts(func(n int, kind byte) bool {
		for _, c := range text[:n] {
			if kind == 'n' && !isDigit(c) || kind == 'a' && isDigit(c) {
				return false
			}
		}
		text = text[n:]
		return true
	})
}

func (f ibanForm) parts(each func(n int, kind byte) bool) bool {
	n := 0
	for i := range len(f) {
		if isDigit(f[i]) {
			n = n*10 + int(f[i]-'0')
			continue
		}
		if !each(n, f[i]) {
			return false
		}
		n = 0
	}
	return true
}

// ibanForms are the countries of SWIFT's IBAN registry.
func ibanForms() map[string]ibanForm {
	return map[string]ibanForm{
		"AD": "8n12c", "AE": "19n", "AL": "8n16c", "AT": "16n", "AZ": "4a20c", "BA": "16n", "BE": "12n", "BG": "4a6n8c", "BH": "4a14c", "BI": "23n",
		"BR": "23n1a1c", "BY": "4c4n16c", "CH": "5n12c", "CR": "18n", "CY": "8n16c", "CZ": "20n", "DE": "18n", "DJ": "23n", "DK": "14n", "DO": "4c20n",
		"EE": "16n", "EG": "25n", "ES": "20n", "FI": "14n", "FK": "2a12n", "FO": "14n", "FR": "10n11c2n", "GB": "4a14n", "GE": "2a16n", "GI": "4a15c",
		"GL": "14n", "GR": "7n16c", "GT": "24c", "HN": "4a20n", "HR": "17n", "HU": "24n", "IE": "4a14n", "IL": "19n", "IQ": "4a15n", "IS": "22n", "IT": "1a10n12c",
		"JO": "4a4n18c", "KW": "4a22c", "KZ": "3n13c", "LB": "4n20c", "LC": "4a24c", "LI": "5n12c", "LT": "16n", "LU": "3n13c", "LV": "4a13c", "LY": "21n",
		"MC": "10n11c2n", "MD": "20c", "ME": "18n", "MK": "3n10c2n", "MN": "16n", "MR": "23n", "MT": "4a5n18c", "MU": "4a19n3a", "NI": "4a20n", "NL": "4a10n",
		"NO": "11n", "OM": "3n16c", "PK": "4a16c", "PL": "24n", "PS": "4a21c", "PT": "21n", "QA": "4a21c", "RO": "4a16c", "RS": "18n", "RU": "14n15c", "SA": "2n18c",
		"SC": "4a20n3a", "SD": "14n", "SE": "20n", "SI": "15n", "SK": "20n", "SM": "1a10n12c", "SO": "19n", "ST": "21n", "SV": "4a20n", "TL": "19n", "TN": "20n",
		"TR": "6n16c", "UA": "6n19c", "VA": "18n", "VG": "4a16n", "XK": "16n", "YE": "4a4n18c",
	}
}
