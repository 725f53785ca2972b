//! Joins a user's trap for EXIT with ours, which saves the state.
//!
//! A function `trap` joins both. `builtin trap`, `command trap` and a shell in posix mode call no
//! function of this name: for a script that may use them `trap` is an alias, too. It sources
//! [`RESTORE_FD`], which calls the function.

use super::script::RESTORE_FD;
use super::syntax::quote;

/// The alias for `trap`: a builtin, so that it can follow `builtin`.
const ALIAS: &str = ". /proc/self/fd/230";
const _: () = assert!(RESTORE_FD == 230);

/// The name of the function behind the alias.
pub const FUNCTION: &str = "sandbox_trap";

/// Defines the aliases. After the trailing blanks, bash expands an alias in the next word, too.
pub fn aliases() -> String {
    format!(r"\builtin alias builtin='builtin ' command='command ' trap='{ALIAS}'")
}

/// Replaces the restoring commands by the text that the alias reads. A child that has the
/// descriptor, and a function with the alias in it, does not have our function.
pub fn write_alias_text() -> String {
    let text = format!(
        r#"if \builtin declare -F {FUNCTION} >/dev/null; then {FUNCTION} "$@"; else \builtin trap "$@"; fi"#
    );
    let text = String::from_utf8_lossy(&quote(text.as_bytes())).into_owned();
    format!(r"\builtin printf '%s\n' {text} >|/proc/self/fd/{RESTORE_FD}")
}

/// The body of a function as the user wrote it: bash expands aliases when it parses a function.
pub fn without_alias(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest
        .windows(ALIAS.len())
        .position(|window| window == ALIAS.as_bytes())
    {
        plain.extend_from_slice(rest.get(..at).unwrap_or_default());
        plain.extend_from_slice(b"trap");
        rest = rest.get(at + ALIAS.len()..).unwrap_or_default();
    }
    plain.extend_from_slice(rest);
    plain
}

/// A function `name` that works like `trap`, and keeps `on_exit`, our trap for EXIT, before the
/// user's, which may exit. It does not print ours. The keyword `function` prevents the expansion of
/// an alias `name`.
pub fn keep_on_exit(name: &str, on_exit: &str) -> String {
    let quoted = quote(on_exit.as_bytes());
    let quoted = String::from_utf8_lossy(&quoted);
    // The form in the output of `trap -p`, where the user's trap follows inside the same quotes.
    let printed = quote(quoted.trim_end_matches('\'').as_bytes());
    let printed = String::from_utf8_lossy(&printed);
    format!(
        r#"function {name} () {{
  case ${{1--p}} in -p*)
    \builtin set -- "$(\builtin trap "$@")" {printed}
    \builtin set -- "${{1//"$2"/\'}}" "trap -- '' EXIT"
    [[ -z ${{1/#"$2"}} ]] || \builtin printf '%s\n' "${{1/#"$2"$'\n'}}"
    \builtin return
  esac
  \builtin local IFS=' '
  if [[ $# == 1 || " ${{*:2}} " == *' '[Ee][Xx][Ii][Tt]' '* || " ${{*:2}}" == *' 0'* ]]; then
    \builtin trap "$@" || \builtin return
    ((!BASH_SUBSHELL)) || \builtin return 0
    \builtin set -- "$(\builtin trap -p EXIT)"
    [[ $1 != *sandbox-end* ]] || \builtin return 0
    \builtin eval "\builtin set -- $1"
    \builtin trap -- {quoted}"${{3-}}" EXIT
  else
    \builtin trap "$@"
  fi
}}"#
    )
}

/// The same for any shell. There a function cannot replace `trap`, but an alias can, also in a
/// script; and one of `command`, if it `has_command`. After the script, `sandbox_end` saves the
/// state, as the script may have set a trap all the same.
pub fn keep_on_exit_in_sh(save: &str, has_command: bool) -> String {
    // The shell itself, and not its subshells, which have the same `$$`.
    let first = format!(
        "SANDBOX_STATUS=$?; read -r SANDBOX_PID SANDBOX_REST </proc/self/stat; if [ \"$SANDBOX_PID\" = $$ ]; then {save}; fi; set +e; (exit $SANDBOX_STATUS)\n"
    );
    let first = String::from_utf8_lossy(&quote(first.as_bytes())).into_owned();
    let command = if has_command {
        " command=sandbox_command"
    } else {
        ""
    };
    format!(
        r#"sandbox_trap() {{
  if [ $# = 0 ]; then
    \trap -- "${{SANDBOX_TRAP--}}" EXIT
    \trap
    \trap -- {first}"${{SANDBOX_TRAP-:}}" EXIT
    return
  fi
  \trap "$@" || return
  [ "${{1-}}" != -- ] || shift
  [ $# != 1 ] || set -- - "$1"
  SANDBOX_STATUS=${{1-}}
  [ $# = 0 ] || shift
  case " $* " in *" "[Ee][Xx][Ii][Tt]" "* | *" 0 "*)
    SANDBOX_TRAP=$SANDBOX_STATUS
    [ "$SANDBOX_TRAP" != - ] || unset SANDBOX_TRAP
    \trap -- {first}"${{SANDBOX_TRAP-:}}" EXIT
  esac
}}
sandbox_command() {{
  if [ "${{1-}}" = trap ]; then
    shift
    sandbox_trap "$@"
  else
    \command "$@"
  fi
}}
sandbox_end() {{
  SANDBOX_STATUS=$?
  {save}
  return $SANDBOX_STATUS
}}
alias trap=sandbox_trap{command}"#
    )
}
