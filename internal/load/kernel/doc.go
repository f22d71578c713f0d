// Package kernel is what the load generator asks of the system under it: timers that are exact, and how many cores it may use. Each system has
// a file; where no load is made they do nothing.
package kernel
