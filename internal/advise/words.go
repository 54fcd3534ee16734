package advise

import (
	"slices"
	"strings"
	"unicode"
)

// class is what a name tells of a value.
type class struct {
	Data  Data
	Names []string // whole words in lower case, with underscores between; a name may end in one
}

// classes are the names that tell what they hold, the most delicate first.
func classes() []class {
	return []class{
		{Payment, []string{
			"card_number", "credit_card", "debit_card", "pan", "cvv", "cvc", "card_holder", "iban", "bic", "swift", "account_number", "routing_number", "sort_code",
			"bank_account", "payment_method", "payment_token", "amount_due", "payee", "debtor", "creditor", "beneficiary",
		}},
		{Health, []string{
			"diagnosis", "diagnoses", "patient", "patient_id", "medication", "medications", "prescription", "allergy", "allergies", "blood_type", "blood_pressure", "heart_rate",
			"icd10", "lab_result", "medical_record", "mrn", "symptoms", "vaccination", "vaccinations", "insurance_number",
		}},
		{User, []string{
			"email", "e_mail", "email_address", "phone", "phone_number", "first_name", "last_name", "full_name", "given_name", "family_name", "date_of_birth", "birth_date",
			"birthday", "dob", "ssn", "social_security_number", "tax_id", "passport", "passport_number", "address", "street", "street_address", "postal_code", "zip_code",
			"user_id", "customer_id", "username", "password", "gender", "nationality", "ip_address", "location", "latitude", "longitude", "avatar",
		}},
	}
}

// classOf says what a name tells; empty: nothing.
func classOf(name string) Data {
	w := lowered(name)
	for _, c := range classes() {
		if slices.ContainsFunc(c.Names, func(n string) bool { return w == n || strings.HasSuffix(w, "_"+n) }) {
			return c.Data
		}
	}
	return ""
}

// lowered writes a name as lower-case words with underscores: cardNumber and Card-Number are both
// card_number.
func lowered(name string) string {
	var b strings.Builder
	runes := []rune(name[:min(len(name), 256)])
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			if s := b.String(); s != "" && !strings.HasSuffix(s, "_") {
				b.WriteByte('_')
			}
			continue
		case unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || unicode.IsDigit(runes[i-1]) || unicode.IsUpper(runes[i-1]) && i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			if !strings.HasSuffix(b.String(), "_") {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.Trim(b.String(), "_")
}

// pathWords are the fixed words of a path.
func pathWords(path string) (all []string) {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || strings.HasPrefix(segment, "{") {
			continue
		}
		all = append(all, strings.Split(lowered(segment), "_")...)
	}
	return all
}
