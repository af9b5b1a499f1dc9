package wire

import "testing"

func TestSaid_KnowsEverySpelling(t *testing.T) {
	t.Parallel()
	said := Said{[]Field{{"X-Forwarded-User", ""}}, []string{"X-Id"}}
	for name, want := range map[string]bool{
		"X-Forwarded-User": true, "x_forwarded_user": true, "X.Forwarded.User": true, "X-Id": true, "x-ID": true,
		"X-Forwarded-Use": false, "X-Forwarded-Users": false, "X1Id": false, "": false,
	} {
		if said.Has(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

// The fields of a call are shared by attempts, so that a change of one must not
// be seen by another.
func TestWithField_ReplacesWithoutAChange(t *testing.T) {
	t.Parallel()
	shared := append(make([]Field, 0, 8), Field{"Authorization", "Bearer rule"}, Field{"X-Id", "1"})
	got := WithField(shared, Field{"authorization", "Bearer token"})
	if len(got) != 2 || got[0] != (Field{"X-Id", "1"}) || got[1] != (Field{"authorization", "Bearer token"}) {
		t.Error(got)
	}
	if shared[0].Value != "Bearer rule" || shared[1].Value != "1" {
		t.Error(shared)
	}
	if got = WithField(shared, Field{"X-B", "2"}); len(got) != 3 || &got[0] != &shared[0] {
		t.Error("fields are copied without need")
	}
}
