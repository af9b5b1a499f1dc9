package auth

import "math/big"

// predictable reports whether a modulus has the fingerprint of a library whose
// primes can be found from their product (CVE-2017-15361): modulo each small
// prime it is a power of 65537. By chance that happens once in 2^150 moduli.
func predictable(n *big.Int) bool {
	for _, prime := range smallPrimes {
		rest := new(big.Int).Mod(n, big.NewInt(prime)).Int64()
		power, found := int64(1), false
		for range prime {
			found = found || power == rest
			power = power * (65537 % prime) % prime
		}
		if !found {
			return false
		}
	}

	return true
}

var smallPrimes = [...]int64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101,
	103, 107, 109, 113, 127,
	131, 137, 139, 149, 151, 157, 163, 167,
}
