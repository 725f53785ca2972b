use super::super::parse_dump::first_and_last;
use super::*;

const END: &str = "\0sandbox-end\0";

/// A dump of bash in `cwd` with these variables, options and functions.
fn bash(cwd: &str, variables: &str, options: &str, functions: &str) -> String {
    let names = functions.lines().filter_map(|line| line.strip_suffix(" () "));
    let names: String = names.map(|name| format!("declare -f {name}\n")).collect();
    format!("{cwd}\n\x000022\n\0{variables}\0\0\0set +o posix\n{options}\0{functions}\0{names}\0{END}")
}

fn sh(cwd: &str, variables: &str) -> String {
    format!("{cwd}\n\x000022\n\0{variables}{END}")
}

fn change(state: &State, before: &str, after: &str) -> State {
    let dumps = format!("{before}{after}");
    let (before, after) = first_and_last(dumps.as_bytes()).unwrap();
    state.after(&before, &after, &base())
}

fn base() -> Env {
    Env::from([("PATH".into(), "/bin".into())])
}

fn env(state: &State) -> Vec<(String, String)> {
    let mut env = base();
    state.apply_to(&mut env);
    let text = |text: OsString| text.into_string().unwrap();
    env.into_iter()
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

/// Commands, without the parts that protect their meaning and the shell.
fn plain(commands: Vec<u8>) -> String {
    let commands = String::from_utf8(commands).unwrap();
    let commands = commands.replace("\\builtin ", "").replace(" || :", "");
    commands
        .replace("eval 'declare ", "declare ")
        .replace("\"'\n", "\"\n")
}

fn new() -> State {
    State::new("/w".into(), &BTreeMap::from([("A".into(), "1".into())]))
}

#[test]
fn only_the_changes_of_a_script_are_saved() {
    let found = "declare -x A=\"1\"\ndeclare -x PROFILE=\"p\"\ndeclare -x PATH=\"/bin\"\n";
    let same = bash("/profile", found, "shopt -s x\n", "p () \n{ \n:\n}\n");
    assert_eq!(change(&new(), &same, &same), new());
    let left = "declare -x A=\"2\"\ndeclare -- B=\"3\"\ndeclare -x PROFILE=\"p\"\n";
    let state = change(
        &new(),
        &same,
        &bash("/other", left, "shopt -u x\n", "q () \n{ \n:\n}\n"),
    );
    assert_eq!(state.cwd, Path::new("/other"));
    assert_eq!(env(&state), [("A".into(), "2".into())], "PATH is unset");
    assert_eq!(
        plain(state.commands_for_bash(&Env::new())),
        "declare -x A=\"2\"\ndeclare -- B=\"3\"\nunset -v PATH\n\
         SANDBOX_STATUS=$BASHOPTS; shopt -s extglob\n\
         eval 'function q () { \n:\n}'\n\
         [[ :$SANDBOX_STATUS: == *:extglob:* ]] || shopt -u extglob\nunset -v SANDBOX_STATUS\n\
         shopt -u x\n"
    );
    assert_eq!(
        plain(state.commands_for_sh(&Env::from([("A".into(), "".into())]))),
        "unset PATH\n"
    );
    assert!(state.has_function("q") && !state.has_function("p") && !state.has_function(""));
}

#[test]
fn a_shell_with_less_state_leaves_the_rest() {
    let left = "declare -ix A=\"1\"\ndeclare -a B=([0]=\"x\")\ndeclare -- C=\"c\"\n";
    let state = change(
        &new(),
        &bash("/w", "", "", ""),
        &bash("/w", left, "", "f () \n{ \n:\n}\n"),
    );
    let found = "export A='1'\nexport PATH='/bin'\n";
    assert_eq!(change(&state, &sh("/w", found), &sh("/w", found)), state);
    let after = change(
        &state,
        &sh("/w", found),
        &sh("/w", "export PATH='/bin'\nexport C='d'\n"),
    );
    assert_eq!(
        env(&after),
        [("C".into(), "d".into()), ("PATH".into(), "/bin".into())]
    );
    assert_eq!(
        plain(after.commands_for_bash(&Env::new()))
            .lines()
            .take(2)
            .collect::<Vec<_>>(),
        ["declare -a B=([0]=\"x\")'", r"declare -x C='\''d'\'''"]
    );
    assert!(after.has_function("f"));
}

#[test]
fn variables_of_one_command_or_of_the_shell_are_not_saved() {
    let own = "declare -x SANDBOX_EXEC_ID=\"7\"\ndeclare -x SHLVL=\"2\"\ndeclare -- _=\"x\"\ndeclare -i RANDOM=\"5\"\ndeclare -a BASH_ARGV=()\ndeclare -x PWD=\"/x\"\n";
    let after = bash("/w", own, "set -o noexec\nset -o onecmd\n", "");
    assert_eq!(change(&new(), &bash("/w", "", "", ""), &after), new());
    assert_eq!(change(&new(), &after, &bash("/w", "", "", "")), new());
}

#[test]
fn local_variables_are_not_saved() {
    let before = bash("/w", "", "", "");
    let inside = |depth: usize, locals: &str| {
        let variables = "declare -- L=\"1\"\ndeclare -- G=\"2\"\ndeclare -x E=\"3\"\n";
        format!("/w\n\x000022\n\0{variables}\0{depth}\0{locals}\0set +o posix\n\0\0\0{END}")
    };
    let saved = |after: &str| plain(change(&new(), &before, after).commands_for_bash(&Env::new()));
    let one = saved(&inside(1, "declare -- L=\"1\"\n"));
    assert!(
        !one.contains("L=") && one.contains("G=") && one.contains("E="),
        "{one}"
    );
    let two = saved(&inside(2, ""));
    assert!(
        !two.contains("L=") && !two.contains("G=") && two.contains("E="),
        "{two}"
    );
}

#[test]
fn its_memory_is_more_than_its_text() {
    let same = bash("/profile", "", "", "");
    let left: String = (0..1000).map(|n| format!("declare -x A{n}=\"{n}\"\n")).collect();
    let state = change(&new(), &same, &bash("/profile", &left, "", ""));
    assert!(state.memory() > state.size() + 1000 * ENTRY_OVERHEAD);
    assert!(new().memory() < 1024);
}
