package openapi

import "pavise.dev/pavise/internal/finding"

// standards are the places of a rule: the risk of OWASP's list, the requirements of OWASP ASVS
// 5.0, and the recommendations of NIST SP 800-228.
func standards(id, risk string) finding.Standards {
	places := demands()[id]
	return finding.Standards{OWASP: risk, ASVS: places.asvs, NIST: places.nist}
}

type places struct{ asvs, nist []string }

// demands says of each rule who else demands it.
func demands() map[string]places {
	at := func(nist []string, asvs ...string) places { return places{asvs, nist} }
	described := []string{"REC-API-1", "REC-API-2"}
	validated := []string{"REC-API-3", "REC-API-5", "REC-API-13"}
	long := []string{"REC-API-5", "REC-API-14"}
	known := []string{"REC-API-11"}
	allowed := []string{"REC-API-12"}
	encrypted := []string{"REC-API-9"}
	sensitive := []string{"REC-API-6", "REC-API-7"}
	listed := []string{"REC-API-4"}
	return map[string]places{
		"no-security": at(known, "8.2.1"), "optional-security": at(known, "8.2.1", "6.3.4"), "security-undefined": at(known, "8.2.1"),
		"security-without-scopes": at(allowed, "10.3.2", "8.2.1"), "scope-undefined": at(allowed, "10.3.2"), "admin-operation": at(allowed, "8.2.1"),
		"api-key-in-query": at(known, "14.2.1"), "api-key-in-cookie": at(known, "3.3.2"), "basic-auth": at(known, "6.3.4"), "legacy-http-auth": at(known, "11.4.1"),
		"oauth-implicit": at(known, "10.4.4"), "oauth-password": at(known, "10.4.4"), "oauth-plain-url": at(encrypted, "12.2.1"),
		"credential-as-parameter": at(described, "8.1.1"), "secret-in-path": at(sensitive, "14.2.1"), "secret-in-query": at(sensitive, "14.2.1"),
		"personal-data-in-url": at(sensitive, "14.2.1"), "sequential-id": at([]string{"REC-API-24"}, "8.2.2"),
		"http-server": at(encrypted, "12.2.1"), "internal-server": at(listed, "13.4.5"), "server-variable-open": at(described, "13.2.4"),
		"server-with-credentials": at(described, "13.3.1"), "callback-plain": at(encrypted, "12.3.1"), "method-trace": at(described, "13.4.4"),
		"body-on-get":      at(validated, "4.1.4"),
		"string-unbounded": at(long, "2.2.1"), "number-unbounded": at(long, "2.2.1"), "page-size-unbounded": at(long, "2.2.1", "15.2.2"),
		"array-unbounded": at(long, "2.2.1"), "map-unbounded": at(long, "2.2.1"), "object-open": at(validated, "15.3.3"), "value-free": at(validated, "2.2.1"),
		"pattern-unanchored": at(validated, "2.2.1"), "pattern-catastrophic": at(validated, "1.3.12"), "mass-assignment": at(sensitive, "15.3.3"),
		"upload-unbounded": at(long, "5.2.1"), "upload-any-type": at(validated, "5.2.2"), "wildcard-media-type": at(validated, "2.2.1"),
		"ssrf-candidate":          at(validated, "1.3.6"),
		"response-without-schema": at(validated, "15.3.1"), "response-open-object": at(validated, "15.3.1"), "password-returned": at(sensitive, "15.3.1"),
		"write-only-returned": at(sensitive, "15.3.1"), "stack-trace-returned": at([]string{"REC-API-23"}, "16.5.1"), "secret-in-document": at(described, "13.3.1"),
		"response-400-missing": at(described, "2.2.1"), "response-401-missing": at(described, "8.1.1"), "response-403-missing": at(described, "8.1.1"),
		"response-429-missing": at([]string{"REC-API-15"}, "2.4.1"), "sensitive-flow": at([]string{"REC-API-10", "REC-API-15"}, "2.4.1"),
		"no-owner": at(listed), "no-operation-id": at(listed), "operation-id-twice": at(listed), "deprecated-without-sunset": at(listed, "15.2.3"),
		"sunset-over": at(listed, "15.2.3"), "unused-component": at(listed), "reference-broken": at(described), "unusable": at(described),
		"waiver-invalid": at(listed), "waiver-over": at(listed), "waiver-unused": at(listed),
	}
}
