// Package schemas reads the manifests below deploy/ with the types of those who take them: Kubernetes' own Go types, the
// loader of Compose, the parser of Terraform's language. A field that is misspelt, or in a wrong place, fails its test.
//
// It is a module of its own, because these libraries are large and the program must not depend on them:
//
//	go -C test/docs/schemas test -count=1 ./...
//
// The count is there because Go keeps the results of tests, and does not look at files of another module for that.
package schemas
