// Package proc handles operating-system processes that must not outlive their purpose: own process groups, identity by pid and
// start time (a pid alone may have been given to somebody else), and a mark in the environment by which every descendant of an
// attempt is found again, however it detached itself. Nothing is ever found or killed by its name.
package proc
