package h2

// staticTable is RFC 7541 appendix A, from index 1 on.
var staticTable = [62]field{
	1:  {&names[0], ""},               // :authority
	2:  {&names[2], "GET"},            // :method
	3:  {&names[2], "POST"},           // :method
	4:  {&names[1], "/"},              // :path
	5:  {&names[1], "/index.html"},    // :path
	6:  {&names[3], "http"},           // :scheme
	7:  {&names[3], "https"},          // :scheme
	8:  {&names[4], "200"},            // :status
	9:  {&names[4], "204"},            // :status
	10: {&names[4], "206"},            // :status
	11: {&names[4], "304"},            // :status
	12: {&names[4], "400"},            // :status
	13: {&names[4], "404"},            // :status
	14: {&names[4], "500"},            // :status
	15: {&names[44], ""},              // accept-charset
	16: {&names[10], "gzip, deflate"}, // accept-encoding
	17: {&names[11], ""},              // accept-language
	18: {&names[30], ""},              // accept-ranges
	19: {&names[9], ""},               // accept
	20: {&names[33], ""},              // access-control-allow-origin
	21: {&names[45], ""},              // age
	22: {&names[46], ""},              // allow
	23: {&names[47], ""},              // authorization
	24: {&names[20], ""},              // cache-control
	25: {&names[48], ""},              // content-disposition
	26: {&names[28], ""},              // content-encoding
	27: {&names[49], ""},              // content-language
	28: {&names[26], ""},              // content-length
	29: {&names[50], ""},              // content-location
	30: {&names[51], ""},              // content-range
	31: {&names[6], ""},               // content-type
	32: {&names[52], ""},              // cookie
	33: {&names[21], ""},              // date
	34: {&names[53], ""},              // etag
	35: {&names[54], ""},              // expect
	36: {&names[55], ""},              // expires
	37: {&names[56], ""},              // from
	38: {&names[57], ""},              // host
	39: {&names[58], ""},              // if-match
	40: {&names[59], ""},              // if-modified-since
	41: {&names[60], ""},              // if-none-match
	42: {&names[61], ""},              // if-range
	43: {&names[62], ""},              // if-unmodified-since
	44: {&names[63], ""},              // last-modified
	45: {&names[64], ""},              // link
	46: {&names[65], ""},              // location
	47: {&names[66], ""},              // max-forwards
	48: {&names[67], ""},              // proxy-authenticate
	49: {&names[68], ""},              // proxy-authorization
	50: {&names[69], ""},              // range
	51: {&names[32], ""},              // referer
	52: {&names[70], ""},              // refresh
	53: {&names[71], ""},              // retry-after
	54: {&names[14], ""},              // server
	55: {&names[72], ""},              // set-cookie
	56: {&names[25], ""},              // strict-transport-security
	57: {&names[91], ""},              // transfer-encoding
	58: {&names[7], ""},               // user-agent
	59: {&names[23], ""},              // vary
	60: {&names[73], ""},              // via
	61: {&names[74], ""},              // www-authenticate
}
