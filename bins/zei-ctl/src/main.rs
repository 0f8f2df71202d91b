//! Client of a running zei: list, status, start, stop, restart, signal, apply, events, log, why.
//!
//! Owns: the command line. Must never: do anything but hand it over; `report` prints.

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use zei::model::time::Span;
use zei::protocol::control;
use zei::protocol::log::Stream;
use zei::run::client::{self, Kept, Options, Patience, Until, Verb};
use zei::{exit, signal};

#[cfg(test)]
mod tests;

/// Lists and controls the services of a running zei
#[derive(Parser)]
#[command(name = "zei-ctl", version, max_term_width = 100, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    verb: Command,
    /// The run directory, instead of looking for one
    #[arg(long, global = true, value_name = "DIR")]
    run: Option<PathBuf>,
    /// The configuration instead of the default one (may repeat): for check, and for list and status
    /// while zei is not running
    #[arg(short, long, global = true, value_name = "PATH")]
    config: Vec<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

const AFTER: &str =
    "SERVICE is a name, a shell pattern (web-*, db?, [ab]*), or all; commands reach cmd by its name only.
Exit codes: 0 done, 1 it did not come true, 3 status: one isn't running, 4 no such service,
100 usage or configuration, 102 zei is not running, 111 system error.";

#[derive(Subcommand)]
enum Command {
    /// Show one line per service: NAME STATUS PID RESTARTS UPTIME
    List {
        #[arg(value_name = "SERVICE")]
        services: Vec<String>,
    },
    /// Show all about services; exit 3 if one is neither running, completed nor scheduled
    Status {
        #[arg(value_name = "SERVICE")]
        services: Vec<String>,
    },
    /// Show who depends on whom, with the state of each
    Tree {
        #[arg(value_name = "SERVICE")]
        services: Vec<String>,
    },
    /// Say why services are as they are, down to the cause of it all; without SERVICE: all that is amiss
    Why {
        #[arg(value_name = "SERVICE")]
        services: Vec<String>,
    },
    /// Print a JSON line for each change, from now on until zei ends
    Events {
        /// Whose; init is zei-init itself
        #[arg(value_name = "SERVICE")]
        services: Vec<String>,
        /// Begin so long ago (10m), or then (2026-11-22T14:20:02Z)
        #[arg(long, value_parser = client::since, value_name = "TIME")]
        since: Option<client::Since>,
        /// Print what has happened so far, and end
        #[arg(long)]
        no_follow: bool,
    },
    /// Show the kept output of services, all of it; without SERVICE: of all that keep a log
    #[command(visible_alias = "logs")]
    Log {
        #[arg(value_name = "SERVICE")]
        services: Vec<String>,
        /// Go on with what comes, until zei ends; begin with the last 10 lines of each
        #[arg(short, long)]
        follow: bool,
        /// Only the last N lines of each service
        #[arg(short = 'n', long, visible_alias = "tail", value_name = "N")]
        lines: Option<usize>,
        /// Only what came in this length of time (10m), or since then (2026-11-22T14:20:02Z)
        #[arg(long, value_parser = client::since, value_name = "TIME")]
        since: Option<client::Since>,
        /// Only standard output, or only standard error
        #[arg(long, value_enum, value_name = "STREAM")]
        stream: Option<Side>,
        /// Show the time before each line
        #[arg(short, long)]
        timestamps: bool,
    },
    /// Start services and what they depend on
    Start {
        #[command(flatten)]
        services: Services,
        /// Start them alone
        #[arg(long)]
        no_deps: bool,
    },
    /// Start services and what they depend on; when they end, they are not started again
    Once {
        #[command(flatten)]
        services: Services,
    },
    /// Stop services until the next start or restart
    Stop {
        #[command(flatten)]
        services: Services,
        /// Stop all that depends on them before
        #[arg(long)]
        with_dependents: bool,
    },
    /// Replace each service's process by a new one; start it if it is stopped or failed
    Restart {
        #[command(flatten)]
        services: Services,
    },
    /// Let services read their configuration again, as their key reload says
    Reload {
        #[command(flatten)]
        services: Services,
    },
    /// Send a signal: SERVICE:SIGNAL… or SERVICE… SIGNAL
    Signal {
        #[arg(required = true, value_name = "SERVICE:SIGNAL")]
        words: Vec<String>,
        #[command(flatten)]
        patience: Waiting,
    },
    /// The same, with KILL where no signal is named
    Kill {
        #[arg(required = true, value_name = "SERVICE[:SIGNAL]")]
        words: Vec<String>,
        #[command(flatten)]
        patience: Waiting,
    },
    /// Wait until something holds for all of the services
    Wait {
        #[arg(required = true, value_name = "SERVICE")]
        services: Vec<String>,
        /// What to wait for; done and ready fail at once on a failed service
        #[arg(long = "for", value_enum, default_value = "ready", value_name = "STATE")]
        until: Event,
        /// Wait at most so long (500ms, 5s, 2m; a bare number is seconds), else exit 1
        #[arg(long, value_parser = client::duration, value_name = "DURATION")]
        timeout: Option<Span>,
    },
    /// Read the configuration again, and start, stop and restart what has changed
    Apply {
        /// Only show what differs
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        patience: Waiting,
    },
    /// Bring in one service of the configuration, or the services of another file
    Add {
        /// A service's name; with a slash in it, or with .yaml or .yml at its end, a file
        #[arg(value_name = "NAME|FILE")]
        what: String,
        #[command(flatten)]
        patience: Waiting,
    },
    /// Drop a service that does not run, until the next apply or add
    Forget {
        #[arg(value_name = "SERVICE")]
        service: String,
        #[command(flatten)]
        patience: Waiting,
    },
    /// Let the zei programs that lie on the disk now take over; services keep running
    Upgrade {
        #[command(flatten)]
        patience: Waiting,
    },
    /// Stop everything in order and end the container
    Shutdown {
        #[command(flatten)]
        patience: Waiting,
    },
    /// Check the configuration and show every problem
    Check {
        /// How long the container has from its stop signal to its kill; warn if a stop may take longer
        #[arg(long, value_parser = client::duration, default_value = "10s", value_name = "DURATION")]
        grace: Span,
    },
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Args)]
struct Services {
    #[arg(required = true, value_name = "SERVICE")]
    names: Vec<String>,
    #[command(flatten)]
    patience: Waiting,
}

#[derive(Args)]
struct Waiting {
    /// Return as soon as the command is accepted
    #[arg(long)]
    no_wait: bool,
    /// Wait at most so long (500ms, 5s, 2m; a bare number is seconds), else exit 1
    #[arg(long, value_parser = client::duration, value_name = "DURATION")]
    timeout: Option<Span>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Event {
    Ready,
    Running,
    Stopped,
    Done,
}

#[derive(Clone, Copy, ValueEnum)]
enum Side {
    Out,
    Err,
}

fn main() -> ExitCode {
    ExitCode::from(match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) if error.use_stderr() => client::report("", &error.render().to_string(), exit::CONFIG),
        Err(help) => client::report(&help.render().to_string(), "", exit::OK),
    })
}

fn run(cli: Cli) -> u8 {
    match verb(cli.verb) {
        Ok(verb) => client::run(&Options { run: cli.run, config: cli.config, json: cli.json, verb }),
        Err(shell) => completions(shell),
    }
}

/// What the library is to do, or else for which shell to print completions.
fn verb(command: Command) -> Result<Verb, clap_complete::Shell> {
    Ok(match command {
        Command::Completions { shell } => return Err(shell),
        Command::List { services } => Verb::List { services },
        Command::Status { services } => Verb::Status { services },
        Command::Tree { services } => Verb::Tree { services },
        Command::Why { services } => Verb::Why { services },
        Command::Events { services, since, no_follow } => Verb::Events { services, since, follow: !no_follow },
        Command::Log { services, follow, lines, since, stream, timestamps } => {
            let stream = stream.map(Side::get);
            Verb::Log(Kept { services, follow, lines, since, stream, timestamps })
        }
        Command::Start { services, no_deps: false } => services.get(control::Verb::Start),
        Command::Start { services, no_deps: true } => services.get(control::Verb::StartAlone),
        Command::Once { services } => services.get(control::Verb::Once),
        Command::Stop { services, with_dependents: false } => services.get(control::Verb::Stop),
        Command::Stop { services: Services { names, patience }, with_dependents: true } => {
            Verb::StopWithDependents { services: names, patience: patience.get() }
        }
        Command::Restart { services } => services.get(control::Verb::Restart),
        Command::Reload { services } => services.get(control::Verb::Reload),
        Command::Signal { words, patience } => Verb::Signal { words, default: None, patience: patience.get() },
        Command::Kill { words, patience } => {
            Verb::Signal { words, default: Some(signal::KILL), patience: patience.get() }
        }
        Command::Wait { services, until, timeout } => Verb::Wait { services, until: until.get(), timeout },
        Command::Apply { dry_run, patience } => Verb::Apply { dry_run, patience: patience.get() },
        Command::Add { what, patience } => Verb::Add { what, patience: patience.get() },
        Command::Forget { service, patience } => Verb::Forget { service, patience: patience.get() },
        Command::Upgrade { patience } => Verb::Upgrade { patience: patience.get() },
        Command::Shutdown { patience } => Verb::Shutdown { patience: patience.get() },
        Command::Check { grace } => Verb::Check { grace },
    })
}

fn completions(shell: clap_complete::Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "zei-ctl", &mut script);
    client::report(&String::from_utf8_lossy(&script), "", exit::OK)
}

impl Services {
    fn get(self, verb: control::Verb) -> Verb {
        Verb::Command { services: self.names, verb, patience: self.patience.get() }
    }
}

impl Waiting {
    fn get(self) -> Patience {
        Patience { no_wait: self.no_wait, timeout: self.timeout }
    }
}

impl Side {
    fn get(self) -> Stream {
        match self {
            Side::Out => Stream::Out,
            Side::Err => Stream::Err,
        }
    }
}

impl Event {
    fn get(self) -> Until {
        match self {
            Event::Ready => Until::Ready,
            Event::Running => Until::Running,
            Event::Stopped => Until::Stopped,
            Event::Done => Until::Done,
        }
    }
}
