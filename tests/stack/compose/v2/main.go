// compose - the compose specification's own model of the files given: parsed, merged, checked.
//
//	compose [--profile NAME]... [--env-file FILE] FILE...  ─▶  the merged project as JSON
//
// The environment of the process is not looked at, so that the result depends on the files alone.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

type names []string

func (n *names) String() string         { return fmt.Sprint(*n) }
func (n *names) Set(value string) error { *n = append(*n, value); return nil }

func run() error {
	var profiles, envs names
	flag.Var(&profiles, "profile", "a profile that is on")
	flag.Var(&envs, "env-file", "a file of variables")
	flag.Parse()

	options, err := cli.NewProjectOptions(flag.Args(), cli.WithName("heartbeat"),
		cli.WithWorkingDirectory("."), cli.WithEnvFiles(envs...), cli.WithDotEnv,
		cli.WithProfiles(profiles))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	text, err := project.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(text))
	return err
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "compose:", err)
		os.Exit(1)
	}
}
