// Package files answers requests with the files of a directory (Dir). A single
// file can also be the body of a fixed answer or of an error (Page).
//
// A request for a file takes these steps:
//
//  1. The path becomes a name (name.go). It is decoded once, and refused if it
//     leads upward or to a hidden file.
//  2. The name is opened below the directory (dir.go). An os.Root guarantees
//     that no name and no symbolic link leads out of it. For a directory its
//     index file is sent, and for a missing file possibly the fallback
//     (fallback.go).
//  3. If there is a compressed form of the file that the client accepts, it is
//     sent instead (coding.go).
//  4. Conditions (condition.go) and ranges (ranges.go) decide which part of the
//     file is sent.
//
// The answer is a response like that of a service, so it takes the same way
// back. Its body is a wire.FilePart, which a server may send with sendfile(2).
// An error, from 400 on, has no body, because the proxy writes the bodies of
// errors for all routes.
//
// Files are opened for each request, and nothing of them is kept. The package
// starts no goroutine.
package files
