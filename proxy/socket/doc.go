// Package socket is TCP below net.Conn: what costs fewer system calls, and what
// package net can't do.
//
// Five ideas are in it.
//
// A connection begins outside of the runtime's poller. LazyListener
// (listener_linux.go) accepts a Conn (conn_linux.go) as a bare descriptor. The
// poller gets to know it when a read has to wait for the first time.
//
// Bytes are read and written inside the callback of a syscall.RawConn
// (sys_linux.go): Recv, Send and Peek never wait. A caller that has to wait
// returns false from the callback, and the poller calls it again. The system
// calls themselves are in a form that is cheap inside gVisor, too
// (call_linux_amd64.go).
//
// A connection that has been idle for a moment needs no goroutine. An IdleSet
// (idle_linux.go) waits for all of them.
//
// Bytes that need not be looked at stay in the kernel. A Pipe (pipe.go) takes
// them from one socket with splice(2) and gives them to another. Inlet and
// Outlet (stream.go, move.go) are the two ends of such a way. They borrow
// Buffers and pipes (buffers.go, pipes.go) only while bytes are under way, so
// an idle connection holds none. Not every kernel and sandbox splices, and one
// delivers wrong bytes: splice(2) is used after a check (splicing.go,
// splicecheck.go), and where it is refused, bytes are copied.
//
// The memory that connections take together is bounded by one Budget
// (budget.go). It also sheds load when descriptors run out (relieve.go).
//
// On other platforms, and for anything but clear-text TCP, Raw is nil and
// callers use net.Conn's own methods (sys_other.go). The package knows nothing
// of HTTP, imports nothing of Pillion and starts no goroutine but that of an
// IdleSet.
package socket
