// Package schemas checks the manifests below deploy/ with the types of the
// programs that read them: Kubernetes' Go types, the loader of Compose, and the
// parser of Terraform's language. A misspelt or misplaced field fails a test.
//
// It is a module of its own, because these libraries are large and the program
// must not depend on them:
//
//	go -C test/docs/schemas test -count=1 ./...
//
// With -count=1 the tests always run. Go would otherwise return old results,
// because it does not notice changed files of another module.
package schemas
