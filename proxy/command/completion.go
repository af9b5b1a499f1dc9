package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// completion prints the completion script of a shell.
func completion(_ context.Context, c *Call) int {
	scripts := map[string]func() string{"bash": bash, "zsh": zsh, "fish": fish}
	if len(c.Args) != 1 || scripts[c.Args[0]] == nil {
		return c.misused("completion needs the name of a shell: bash, zsh or fish")
	}
	fmt.Fprint(c.Stdout, scripts[c.Args[0]]())

	return OK
}

// words returns the words that complete the arguments of a command, flags
// first.
func (c command) words() (list []string) {
	for _, f := range c.flags {
		list = append(list, f.name)
	}
	switch c.takes {
	case variables:
		list = append(list, config.Names()...)
	case shells:
		list = append(list, "bash", "zsh", "fish")
	}
	if c.name == "help" {
		list = names()
	}

	return append(list, "--help")
}

// fileFlags returns the flags whose value is a file.
func fileFlags() (list []string) {
	for _, c := range commands() {
		for _, f := range c.flags {
			if f.takes == aFile {
				list = append(list, f.name)
			}
		}
	}

	return list
}

// bash returns the script for bash, a function for its builtin complete.
func bash() string {
	var b strings.Builder
	b.WriteString(`# pillion for bash: source <(pillion completion bash)
_pillion() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words
  case $before in
` + "  " + strings.Join(fileFlags(), "|") + `)
    COMPREPLY=($(compgen -f -- "$word"))
    return
    ;;
  esac
  if ((COMP_CWORD == 1)); then
    words='` + strings.Join(names(), " ") + `'
  else
    case ${COMP_WORDS[1]} in
`)
	for _, c := range commands() {
		fmt.Fprintf(&b, "    %s) words='%s' ;;\n", c.name, strings.Join(c.words(), " "))
	}
	b.WriteString(`    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _pillion pillion
`)

	return b.String()
}

// zsh returns the script for zsh, a function for its compsys.
func zsh() string {
	var b strings.Builder
	b.WriteString(`#compdef pillion
# pillion for zsh: pillion completion zsh > "${fpath[1]}/_pillion"
_pillion() {
  if compset -P '(` + strings.Join(fileFlags(), "|") + `)='; then
    _files
    return
  fi
  if [[ ${words[CURRENT-1]} == (` + strings.Join(fileFlags(), "|") + `) ]]; then
    _files
    return
  fi
  if ((CURRENT == 2)); then
    local -a commands
    commands=(
`)
	for _, c := range commands() {
		fmt.Fprintf(&b, "      '%s:%s'\n", c.name, c.does)
	}
	b.WriteString("    )\n    _describe command commands\n    return\n  fi\n  case ${words[2]} in\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %s) compadd -- %s ;;\n", c.name, strings.Join(c.words(), " "))
	}
	b.WriteString(`  esac
}
if [[ ${funcstack[1]} == _pillion ]]; then
  _pillion
else
  compdef _pillion pillion
fi
`)

	return b.String()
}

// fish returns the script for fish, a list of complete commands.
func fish() string {
	var b strings.Builder
	b.WriteString("# pillion for fish: " +
		"pillion completion fish > ~/.config/fish/completions/pillion.fish\n" +
		"complete -c pillion -f\n" +
		"complete -c pillion -l help -d 'print how a command is called'\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "complete -c pillion -f -n __fish_use_subcommand -a %s -d '%s'\n", c.name, c.does)
		seen := fmt.Sprintf("-n '__fish_seen_subcommand_from %s'", c.name)
		for _, f := range c.flags {
			files := "-f"
			if f.takes == aFile {
				files = "-r -F"
			}
			fmt.Fprintf(&b, "complete -c pillion %s %s -l %s -d '%s'\n", files, seen,
				strings.TrimPrefix(f.name, "--"), f.does)
		}
		rest := slices.DeleteFunc(c.words(), func(w string) bool { return strings.HasPrefix(w, "--") })
		if len(rest) > 0 {
			fmt.Fprintf(&b, "complete -c pillion -f %s -a '%s'\n", seen, strings.Join(rest, " "))
		}
	}

	return b.String()
}
