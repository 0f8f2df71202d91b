//! temp
fn main() -> std::process::ExitCode {
    let mut options = zei::run::init::Options::default();
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        if arg == "-c" {
            options.config.push(args.next().unwrap_or_default().into());
            continue;
        }
        if arg == "--" {
            options.command = args.collect();
            break;
        }
        options.command = std::iter::once(arg).chain(args).collect();
        break;
    }
    std::process::ExitCode::from(zei::run::init::run(&options).unwrap_or(100))
}
