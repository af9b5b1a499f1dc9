package backend

import "github.com/pillion-lb/pillion/proxy/h1"

// shed closes idle connections to backends until need bytes have come back, and
// returns how many bytes that are. The next request may have to dial, which no
// client notices.
func (s *Service) shed(need int64) (freed int64) {
	snap := s.snapshot.Load()
	if snap == nil {
		return 0
	}

	for i := range snap.entries {
		if freed >= need {
			break
		}

		first := snap.entries[i].ep.http1
		if n := first.Idle(); n > 0 {
			first.CloseIdle()
			freed += int64(n) * h1.LinkMemory
		}
	}

	return freed
}
