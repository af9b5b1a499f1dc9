// Package route finds the route of a request. The table holds the items of all
// routes. The host, path, method, fields and share of the request decide which
// item takes it.
//
// Compile reads the items as users write them ("/api/*", "www.example.com",
// "/*?cookie.canary=always") and reports everything that is wrong with them. It
// sorts the items by the precedence of the Gateway API's HTTPRoute, so their
// order in the environment does not matter. For each host it makes a tree of
// path segments. Find goes down the tree of each host that fits, and then back
// up: the first item whose conditions hold takes the request. Explain and Print
// show the same in words.
//
// Servers may read one path in different ways. Then Pillion could choose a
// route by one reading, and the backend a resource by another. So Find looks
// such a path up in every reading, and refuses it if the readings belong to
// different routes.
//
// A Table is never changed after Compile. Nothing here starts a goroutine or
// reads a clock.
package route
