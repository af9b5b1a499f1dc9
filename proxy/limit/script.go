package limit

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/valkey-io/valkey-go"
)

// script is rate.take on the server. Only the server's clock is used, so the
// clocks of the instances may differ. Times are in eighths of a microsecond
// since 2024: Lua's numbers hold these exactly until 2059, and the cost of a
// request is exact within 1 % up to 80,000 requests a second. A key expires
// when its time has passed.
//
// KEYS[1] is the key, ARGV[1] the cost of a request, and ARGV[2] that of a
// burst. The answer is how long the request is too early, rounded up; 0 lets it
// pass. The script formats numbers itself, because tostring would write
// 1.8e+15.
const script = `
local clock = redis.call('TIME')
local now = (tonumber(clock[1]) - 1704067200) * 8000000 + tonumber(clock[2]) * 8
local cost, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local arrival = tonumber(redis.call('GET', KEYS[1]) or now)
if arrival < now or arrival - now > window + math.max(window, 8000000) then
  arrival = now
end
local after = arrival + cost
local early = after - window - now
if early > 0 then
  return early
end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 8000))
return 0
`

// tick is the script's unit of time.
const tick = 125 * time.Nanosecond

// ticks returns nanoseconds in the script's unit, rounded up.
func ticks(d int64) int64 { return (d + int64(tick) - 1) / int64(tick) }

// arguments returns those of the script.
func (r rate) arguments() []string {
	cost := ticks(r.emission)
	return []string{strconv.FormatInt(cost, 10), strconv.FormatInt(cost*(r.window/r.emission), 10)}
}

// errReply is the error for an answer that the script can't have given.
var errReply = errors.New("the server's answer is none that the script gives")

// earlyOf reads the script's answer.
func (r rate) earlyOf(reply valkey.ValkeyResult) (time.Duration, error) {
	n, err := reply.AsInt64()
	if err != nil {
		return 0, err
	}

	return r.early(n)
}

// early converts an answer in the script's unit to a duration. Unless the clock
// was set back, no request is too early by more than the burst and one request.
func (r rate) early(n int64) (time.Duration, error) {
	longest := r.window + max(r.window, int64(time.Second)) + r.emission
	if n < 0 || n > ticks(longest)+1 {
		return 0, errReply
	}

	return time.Duration(n) * tick, nil
}

// storeID identifies a limit in the store. A changed limit has another id, so
// it begins without history.
func storeID(scope string, c *config.RateLimit) []byte {
	return fmt.Appendf(nil, "%q %q %d %d %d %d %q ", scope, c.Name, c.Count, c.Period, c.Burst,
		c.By.Kind, c.By.Name)
}

// key returns the name of a key in the store. It is a hash, because the key may
// contain a credential and may have any length.
func (s *Store) key(id []byte, k *Key) string {
	sum := sha256.Sum256(k.append(append(make([]byte, 0, 128), id...)))
	const enough = 16 // bytes
	return s.prefix + base64.RawURLEncoding.EncodeToString(sum[:enough])
}
