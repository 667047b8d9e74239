//! A process that does what a test tells it, and says what the kernel says of it: `agent.py`.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::PATIENCE;
use crate::support::dir::TempDir;
use crate::support::sidecar::wait_until;

/// Where agents of one test report.
pub struct Door {
    listener: UnixListener,
    socket: String,
    dir: TempDir,
}

/// One that has reported. It ends with this.
pub struct Agent {
    lines: BufReader<UnixStream>,
    /// `None` when a program of ours is its parent.
    child: Option<Child>,
}

impl Door {
    pub fn new() -> Door {
        let dir = TempDir::new("truth");
        let socket = dir.join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        std::fs::write(dir.join("agent.py"), include_str!("agent.py")).unwrap();
        Door { listener, socket: socket.to_str().unwrap().to_owned(), dir }
    }

    pub fn dir(&self) -> &TempDir {
        &self.dir
    }

    /// The command that starts an agent of this name.
    pub fn command(&self, name: &str) -> Vec<String> {
        let script = self.dir.join("agent.py").to_str().unwrap().to_owned();
        ["python3".to_owned(), script, self.socket.clone(), name.to_owned()].to_vec()
    }

    /// Starts one, below another program if there is one: that is given the agent as its last arguments.
    pub fn start(&self, name: &str, above: &[&str]) -> Agent {
        let agent = self.command(name);
        let words: Vec<&str> = above.iter().copied().chain(agent.iter().map(String::as_str)).collect();
        let child = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).spawn().unwrap();
        let mut agent = self.wait();
        agent.child = Some(child);
        agent
    }

    /// Waits until the next one reports.
    pub fn wait(&self) -> Agent {
        let stream = wait_until("an agent to report", || match self.listener.accept() {
            Ok((stream, _)) => Some(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        });
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut agent = Agent { lines: BufReader::new(stream), child: None };
        agent.answer().unwrap();
        agent
    }
}

impl Agent {
    /// Has it do something, and returns what the kernel says of it afterwards.
    pub fn tell(&mut self, command: Value) -> Usage {
        self.order(&command);
        let answer = self.answer().unwrap_or_else(|| panic!("the agent has ended, told {command}"));
        Usage(answer)
    }

    /// Has it do what it does not come back from: it ends, or reports anew.
    pub fn tell_last(&mut self, command: Value) {
        self.order(&command);
        assert_eq!(self.answer(), None, "it has survived {command}");
        if let Some(child) = &mut self.child {
            wait_until("its end", || child.try_wait().unwrap());
        }
    }

    /// Has it become another program, which reports.
    pub fn replace(&mut self, door: &Door) {
        self.order(&serde_json::json!(["replace"]));
        std::mem::swap(&mut self.lines, &mut door.wait().lines);
    }

    /// kill -9, and returns when it is gone.
    pub fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Of the agent, or of what it was started below.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    fn order(&mut self, command: &Value) {
        self.lines.get_mut().write_all(format!("{command}\n").as_bytes()).unwrap();
    }

    fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            read => {
                read.unwrap();
                Some(serde_json::from_str(&line).unwrap())
            }
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// What the kernel says.
pub struct Usage(Value);

impl Usage {
    /// CPU of it and of those of its children that it has waited for, by getrusage, seconds.
    pub fn cpu(&self) -> f64 {
        self.0["cpu"].as_f64().unwrap()
    }

    /// The same of the child that it has not waited for.
    pub fn cpu_of_child(&self) -> f64 {
        self.0["of_child"].as_f64().unwrap()
    }

    /// Given to disks, by getrusage.
    pub fn written_bytes(&self) -> i64 {
        self.0["written"].as_i64().unwrap()
    }

    /// VmRSS.
    pub fn rss_bytes(&self) -> i64 {
        self.0["rss"].as_i64().unwrap()
    }

    /// What it was waited for with.
    pub fn status(&self) -> i64 {
        self.0["status"].as_i64().unwrap()
    }
}
