package h1

// splice moves body bytes from the client's socket to the backend's; 0 and no error when that cannot be.
func (u *upload) splice(left int64) (int64, error) { return 0, nil }
