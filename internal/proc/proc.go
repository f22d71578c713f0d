// Package proc handles operating-system processes that must not outlive their purpose: own process groups, identity by pid and
// start time (a pid alone may have been given to somebody else), and marks by which every descendant of an attempt is found
// again, however it detached itself. Nothing is ever found or killed by its name. Linux only;
// on darwin, which has the login side alone, processes have identities and nothing is started.
//
// An attempt is marked twice, because each mark has a hole. The environment is inherited and exact, but a process may overwrite
// its own: vLLM's engine and worker processes do, their setproctitle writes the title over the inherited entries, and exactly
// these are the processes that outlive their API server. A supervisor (Supervise) therefore brands itself as well, with a
// resource limit that Linux inherits and reports but has not enforced since 2.4, and adopts its orphaned descendants.
package proc
