//! Starting a program as a child that has nothing of ours: no blocked signal, no ignored one, no descriptor that we have
//! opened. (Rust's own `Command` hands down the signals that we hold back. The C library leaves the two or three
//! that its threads use among themselves ignored in whatever it spawns; no program can tell.)

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn, posix_spawnp};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use super::environment::Var;

/// A program to be started.
pub(super) struct Program<'a> {
    /// A path, or a name that is looked for in PATH.
    pub(super) path: &'a OsStr,
    /// Its arguments, the name by which it is called first.
    pub(super) args: &'a [OsString],
    pub(super) vars: &'a [Var],
    /// What becomes its standard input; `None` = ours.
    pub(super) stdin: Option<BorrowedFd<'a>>,
    /// Whether it gets a process group of its own, so that a signal to ours does not reach it.
    pub(super) own_group: bool,
}

const STDIN: i32 = 0;
const SHELL: &str = "/bin/sh";

impl Program<'_> {
    /// Starts it; what the kernel does not take for a program is taken for a script, as execvp(3) does.
    pub(super) fn start_as_a_shell_would(&self) -> Result<Pid, Errno> {
        match self.start() {
            Err(Errno::ENOEXEC) => {
                let shell = [OsString::from("sh"), self.path.to_owned()];
                let args: Vec<OsString> = shell.into_iter().chain(self.args.iter().skip(1).cloned()).collect();
                Program { path: OsStr::new(SHELL), args: &args, ..*self }.start()
            }
            started => started,
        }
    }

    /// Starts it. An error means that there is no child.
    pub(super) fn start(&self) -> Result<Pid, Errno> {
        let mut attributes = PosixSpawnAttr::init()?;
        let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
        attributes.set_sigmask(&SigSet::empty())?;
        attributes.set_sigdefault(&SigSet::all())?;
        if self.own_group {
            flags |= PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
            // Zero means: a new one, named after the child.
            attributes.set_pgroup(Pid::from_raw(0))?;
        }
        attributes.set_flags(flags)?;
        let mut files = PosixSpawnFileActions::init()?;
        if let Some(stdin) = self.stdin {
            files.add_dup2(stdin.as_raw_fd(), STDIN)?;
        }
        let path = c_string(self.path)?;
        let args = self.args.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>, _>>()?;
        let vars = self.vars.iter().map(|(name, value)| {
            let mut var = name.clone();
            var.push("=");
            var.push(value);
            c_string(&var)
        });
        let vars = vars.collect::<Result<Vec<_>, _>>()?;
        if self.path.as_bytes().contains(&b'/') {
            posix_spawn(path.as_c_str(), &files, &attributes, &args, &vars)
        } else {
            posix_spawnp(&path, &files, &attributes, &args, &vars)
        }
    }
}

/// Arguments and environment come from exec(2) and hold no NUL; a file name that does is none.
fn c_string(text: &OsStr) -> Result<CString, Errno> {
    CString::new(text.as_bytes()).map_err(|_| Errno::EINVAL)
}
