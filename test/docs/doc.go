// Package docs holds the documentation to its word. Its tests read the README and everything below deploy/, run their
// shell blocks, and compare the names, paths, defaults and messages in them with what the program has.
//
// A fenced block of a Markdown file says in its first line what it is for:
//
//	sh           has to be valid shell; nothing runs
//	sh serve     starts the program, and belongs together with the "sh client" blocks up to the next "sh serve"
//	sh client    runs against the program that the last "sh serve" started, and has to succeed
//	sh deploy    is a gcloud command that makes a service, run against a Cloud Run API on loopback
//	sh replace   the same, with a service that stands in a file
//
// The package has no code of its own and imports none of the program's packages.
package docs
