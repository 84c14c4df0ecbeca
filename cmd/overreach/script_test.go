package main

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/overreach/overreach/embedded/embeddedtest"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts' golden files")

func TestMain(m *testing.M) {
	// The race detector lets each process sleep for a second at its end, in case that other
	// threads have still something to report. Tests start hundreds of processes.
	if os.Getenv("GORACE") == "" {
		if err := os.Setenv("GORACE", "atexit_sleep_ms=10"); err != nil {
			panic(err)
		}
	}
	testscript.Main(m, map[string]func(){"overreach": main})
}

// TestTheCommandsDoAsTheScriptsSay runs testdata/*.txtar against the program
// itself, with the engine that one machine has.
func TestTheCommandsDoAsTheScriptsSay(t *testing.T) {
	engine, library := embeddedtest.Binary(t), embeddedtest.Library(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("OVERREACH_ENGINE", engine)
			env.Setenv("OVERREACH_ENGINE_LIBRARY", library)
			env.Setenv("GORACE", os.Getenv("GORACE"))
			return nil
		},
	})
}
