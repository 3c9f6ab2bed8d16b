//! `zmesh node`: runs one node until it is told to stop.

use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use zmesh_node::Node;

use crate::descriptors;
use crate::exit::Outcome;
use crate::reload::Reloader;
use crate::settings::catalogue::{SETTINGS, Setting, Shown};
use crate::settings::given::Given;
use crate::settings::{Settings, Sources};
use crate::{logging, output, signals};

const EXAMPLES: &str = "\
Examples:
  zmesh node                                        alone, for this machine only
  zmesh node --name b --port 5565 --seed 127.0.0.1:5556
                                                    joins the one above
  zmesh node --bind 0.0.0.0 --advertise 10.0.0.7 --seed 10.0.0.5:5556,10.0.0.6:5556
  zmesh node --print-config > zmesh.toml            a file to start from

Every option is also a key of the file and a variable: --queue-size, queue-size, ZMESH_QUEUE_SIZE.
An option beats a variable, a variable beats the file. At a SIGHUP the node reads them again and
takes over queue-size, queue-policy, queue, service, drain-timeout and log; another change is
refused with a line in the log. It prints one line to stdout when it is
ready: `ready name=… client=HOST:PORT gossip=HOST:PORT link=HOST:PORT`.";

/// `zmesh node`. Its flags are those of the catalogue of settings.
#[derive(Debug, Default)]
pub(crate) struct NodeArgs {
    flags: Vec<(&'static str, Given)>,
    file: Option<PathBuf>,
    print_config: bool,
    stop_with_stdin: bool,
}

impl clap::Args for NodeArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("TOML file with settings [env: ZMESH_CONFIG]");
        let print_config = Arg::new("print-config")
            .long("print-config")
            .action(ArgAction::SetTrue)
            .help("Print the settings in force as a TOML file and end");
        // How `zmesh dev` ends its nodes, also when it dies itself: no signal is as portable.
        let stop_with_stdin = Arg::new("stop-with-stdin")
            .long("stop-with-stdin")
            .action(ArgAction::SetTrue)
            .hide(true);
        command
            .after_help(EXAMPLES)
            .args([config, print_config, stop_with_stdin])
            .args(SETTINGS.iter().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for NodeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<PathBuf>("config").cloned();
        self.print_config = matches.get_flag("print-config");
        self.stop_with_stdin = matches.get_flag("stop-with-stdin");
        self.flags = SETTINGS
            .iter()
            .filter_map(|setting| {
                let mut values = matches.get_many::<String>(setting.name)?.cloned();
                let given = match setting.repeated {
                    true => Given::List(values.collect()),
                    false => Given::Text(values.next()?),
                };
                Some((setting.name, given))
            })
            .collect();
        Ok(())
    }
}

/// The flag of a setting, with its default.
fn flag(setting: &Setting) -> Arg {
    let default = match (setting.show)(&Settings::defaults()) {
        Some(Shown::Text(text)) if !text.is_empty() => format!(" [default: {text}]"),
        Some(Shown::Number(number)) => format!(" [default: {number}]"),
        _ => String::new(),
    };
    Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value_name)
        .help_heading(setting.heading)
        .action(if setting.repeated {
            ArgAction::Append
        } else {
            ArgAction::Set
        })
        .help(format!("{}{default}", setting.help))
}

pub(crate) fn run(args: &NodeArgs) -> Result<Outcome> {
    // Before all else: until then a SIGHUP, however early, would end the process.
    let hangups = signals::Hangups::listen()?;
    let sources = Sources {
        flags: args.flags.clone(),
        file: args.file.clone(),
        variables: std::env::vars_os().collect(),
    };
    let settings = Settings::load(&sources)?;
    if args.print_config {
        output::print(&settings.to_toml())?;
        return Ok(Outcome::Done);
    }
    let filter = logging::start(&settings)?;
    end_at_panic();
    descriptors::take_all();
    let node = zmesh_node::start(settings.node.clone())?;
    stop_on_request(&node, args.stop_with_stdin)?;
    let reloader = Reloader::new(sources, settings, filter, node.reload_handle());
    hangups.on_each(move || reloader.reload())?;
    // A node that was told to stop while it joined is none that failed.
    if node.wait_ready()? {
        say_ready(&node);
    }
    node.wait()?;
    Ok(Outcome::Done)
}

/// A node with a thread less would go on to own topics and serve nobody: a bug ends it all, and
/// others take over.
fn end_at_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
}

/// Stops the node at a signal, or when stdin ends if that was asked for.
fn stop_on_request(node: &Node, with_stdin: bool) -> Result<()> {
    let handle = node.stop_handle();
    signals::on_stop(move || handle.stop())?;
    if with_stdin {
        let handle = node.stop_handle();
        std::thread::Builder::new()
            .name("stdin".into())
            .spawn(move || {
                let mut ignored = [0; 256];
                while matches!(std::io::stdin().read(&mut ignored), Ok(1..)) {}
                handle.stop();
            })
            .context("cannot start a thread")?;
    }
    Ok(())
}

/// Tells scripts where the node is. One whose stdout nobody reads runs all the same.
fn say_ready(node: &Node) {
    let mut stdout = std::io::stdout().lock();
    let (name, client, gossip, link) = (node.name(), node.client(), node.gossip(), node.link());
    let line = format!("ready name={name} client={client} gossip={gossip} link={link}\n");
    let _ = stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush());
}
