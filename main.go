// Command pillion is a load balancer in one small container, configured only by environment variables.
package main

func main() {}
