// Package docs tests the documentation against the program. It runs the shell
// blocks of the README and of everything below deploy/, and compares the names,
// paths, defaults and messages in these documents with those of the program.
//
// The first line of a fenced block in a Markdown file says how it is tested:
//
//	sh           has to be valid shell; nothing runs
//	sh serve     starts the program for the "sh client" blocks up to the next "sh serve"
//	sh client    runs against the program that the last "sh serve" started, and has to succeed
//	sh deploy    is a gcloud command that creates a service; it runs against a fake Cloud Run API on loopback
//	sh replace   is the same, with the service in a file
//
// The package has no code besides its tests and imports no package of the
// program.
package docs
