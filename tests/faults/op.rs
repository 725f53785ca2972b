//! The requests that random sequences are made of.

use proptest::prelude::*;

/// A request.
#[derive(Debug, Clone)]
pub enum Op {
    Put(File, Vec<u8>),
    Get(File),
    /// `cat` of a file, by a command.
    Cat(File),
    /// `printf` of a text behind a file, by a command.
    Append(File, String),
    Remove(File),
    /// A command that ends with this code.
    Exit(u8),
    NewSession(Session),
    /// `cd` in a session.
    Enter(Session, Directory),
    /// `export VALUE=…` in a session.
    Export(Session, String),
    /// Prints a session's directory and `VALUE`.
    Ask(Session),
    EndSession(Session),
    /// Starts a process that copies its input to its output.
    Start(Process),
    /// Writes to its input.
    Write(Process, String),
    /// Ends its input, and with it the process.
    CloseStdin(Process),
    /// Reads its log.
    Log(Process),
    /// Kills it by a signal.
    Kill(Process),
    /// Ends it and forgets it.
    EndProcess(Process),
    ListProcesses,
    Running,
    Destroy,
    /// Another operation on a file.
    Other(FileOp),
}

/// An operation on a file other than a read or a write.
#[derive(Debug, Clone)]
pub enum FileOp {
    Stat(File),
    Delete(File),
    Move(File, File),
    Copy(File, File),
    /// A write of a file that must not exist.
    Create(File, Vec<u8>),
    /// A write behind the end of a file.
    Extend(File, Vec<u8>),
    /// The replacement of a text.
    Edit(File, String, String),
}

/// One of the files: few, so that requests meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum File {
    Plain,
    Nested,
    Strange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Session {
    One,
    Two,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Process {
    One,
    Two,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directory {
    Up,
    Tmp,
    Workspace,
}

impl File {
    pub const ALL: [Self; 3] = [Self::Plain, Self::Nested, Self::Strange];

    /// As it stands in a URL.
    pub fn url(self) -> &'static str {
        match self {
            Self::Plain => "workspace/plain",
            Self::Nested => "workspace/a/b/nested.bin",
            Self::Strange => "workspace/a%20%25%C3%A9%0A'%22$x",
        }
    }

    /// As a command knows it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Plain => "/workspace/plain",
            Self::Nested => "/workspace/a/b/nested.bin",
            Self::Strange => "/workspace/a %é\n'\"$x",
        }
    }
}

impl Session {
    pub fn id(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Two => "two.2_-",
        }
    }
}

impl Process {
    pub const ALL: [Self; 2] = [Self::One, Self::Two];

    pub fn id(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "two.2_-",
        }
    }
}

impl Directory {
    pub fn path(self) -> &'static str {
        match self {
            Self::Up => "..",
            Self::Tmp => "/tmp",
            Self::Workspace => "/workspace",
        }
    }
}

/// Any of them.
pub fn op() -> impl Strategy<Value = Op> {
    let file = prop::sample::select(&File::ALL[..]);
    let session = prop::sample::select(&[Session::One, Session::Two][..]);
    let directory = prop::sample::select(&[Directory::Up, Directory::Tmp, Directory::Workspace][..]);
    let process = prop::sample::select(&Process::ALL[..]);
    let text = "[ -~é\n]{0,20}";
    prop_oneof![
        3 => (file.clone(), prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(file, bytes)| Op::Put(file, bytes)),
        2 => file.clone().prop_map(Op::Get),
        2 => file.clone().prop_map(Op::Cat),
        2 => (file.clone(), text).prop_map(|(file, text)| Op::Append(file, text)),
        1 => file.prop_map(Op::Remove),
        1 => any::<u8>().prop_map(Op::Exit),
        1 => session.clone().prop_map(Op::NewSession),
        2 => (session.clone(), directory).prop_map(|(session, directory)| Op::Enter(session, directory)),
        2 => (session.clone(), text).prop_map(|(session, value)| Op::Export(session, value)),
        2 => session.clone().prop_map(Op::Ask),
        1 => session.prop_map(Op::EndSession),
        2 => process.clone().prop_map(Op::Start),
        2 => (process.clone(), text).prop_map(|(process, text)| Op::Write(process, text)),
        1 => process.clone().prop_map(Op::CloseStdin),
        2 => process.clone().prop_map(Op::Log),
        1 => process.clone().prop_map(Op::Kill),
        1 => process.prop_map(Op::EndProcess),
        1 => Just(Op::ListProcesses),
        1 => Just(Op::Running),
        1 => Just(Op::Destroy),
        6 => file_op().prop_map(Op::Other),
    ]
}

fn file_op() -> impl Strategy<Value = FileOp> {
    let file = prop::sample::select(&File::ALL[..]);
    let two = (file.clone(), file.clone());
    let bytes = prop::collection::vec(prop::sample::select(&b"ab\n"[..]), 0..8);
    let written = (file.clone(), bytes);
    prop_oneof![
        file.clone().prop_map(FileOp::Stat),
        file.clone().prop_map(FileOp::Delete),
        two.clone().prop_map(|(from, to)| FileOp::Move(from, to)),
        two.prop_map(|(from, to)| FileOp::Copy(from, to)),
        written
            .clone()
            .prop_map(|(file, bytes)| FileOp::Create(file, bytes)),
        written.prop_map(|(file, bytes)| FileOp::Extend(file, bytes)),
        (file, "[ab]{1,2}", "[ab\n]{0,3}").prop_map(|(file, old, new)| FileOp::Edit(file, old, new)),
    ]
}
