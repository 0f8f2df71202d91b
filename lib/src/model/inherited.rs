//! Which variables a program that is more than its starter does not take from it.
//!
//! Owns: the names. Must never: hold that those are all: what nobody here has heard of can't be among them.

/// Each makes a program run, read, load or trust what its starter wants. `secure_getenv(3)`, ld.so(8), bash(1), perlrun(1),
/// python(1), ruby(1), node(1), java(1), git(1), curl(1), less(1), terminfo(5).
const NAMES: &[&str] = &[
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AZURE_CONFIG_DIR",
    "BASHOPTS",
    "BASH_ENV",
    "BASH_LOADABLES_PATH",
    "BOTO_CONFIG",
    "BROWSER",
    "CDPATH",
    "CLASSPATH",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_HOST",
    "EDITOR",
    "ENV",
    "EXECIGNORE",
    "EXINIT",
    "FCEDIT",
    "FPATH",
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLOBIGNORE",
    "GODEBUG",
    "GOENV",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HISTFILE",
    "HOSTALIASES",
    "IFS",
    "INPUTRC",
    "KUBECONFIG",
    "LOCALDOMAIN",
    "LOCPATH",
    "MANPAGER",
    "MEMPROF",
    "MYSQL_HOME",
    "NETRC",
    "NIS_PATH",
    "NLSPATH",
    "PAGER",
    "PGPASSFILE",
    "PGSERVICEFILE",
    "PGSYSCONFDIR",
    "PHPRC",
    "PROMPT_COMMAND",
    "PS0",
    "PS1",
    "PS4",
    "REQUESTS_CA_BUNDLE",
    "RESOLV_HOST_CONF",
    "RES_OPTIONS",
    "SHELLOPTS",
    "SSH_ASKPASS",
    "SSH_AUTH_SOCK",
    "SSLKEYLOGFILE",
    "TEMP",
    "TMP",
    "TMPDIR",
    "TMPPREFIX",
    "TZDIR",
    "VISUAL",
    "WGETRC",
    "ZDOTDIR",
];

/// Of families: the same.
const PREFIXES: &[&str] = &[
    "ASAN_",
    "ASPNETCORE_",
    "BASH_FUNC_",
    "BUNDLE_",
    "BUN_",
    "CAML",
    "CATALINA_",
    "CLOUDSDK_",
    "COMPlus_",
    "CORECLR_",
    "COR_",
    "CURL_",
    "DENO_",
    "DOTNET_",
    "ELECTRON_",
    "ELIXIR_",
    "ERL_",
    "GEM_",
    "GIO_",
    "GIT_",
    "GLIBC_",
    "GNUTLS_",
    "GRADLE_",
    "GTK",
    "GUILE_",
    "JAVA_",
    "JDK_",
    "JRUBY_",
    "JULIA_",
    "KRB5",
    "LD_",
    "LESS",
    "LSAN_",
    "LUA_",
    "MALLOC_",
    "MAVEN_",
    "MONO_",
    "MSAN_",
    "MUSL_",
    "NIX_",
    "NODE_",
    "NPM_",
    "OCAML",
    "OPENSSL_",
    "PERL",
    "PHP_INI_",
    "PIP_",
    "PYTHON",
    "QT_",
    "RUBY",
    "RUST_",
    "R_",
    "SSL_CERT_",
    "SYSTEMD_",
    "TCL",
    "TERMCAP",
    "TERMINFO",
    "TSAN_",
    "UBSAN_",
    "UV_",
    "VIM",
    "XDG_",
    "YARN_",
    "_JAVA_",
    "npm_",
];

/// What asks others in a program's place.
const SUFFIXES: &[&str] = &["_PROXY", "_proxy"];

/// Of those families, what only chooses between ways that the program has itself.
const HARMLESS: &[&str] = &["NODE_ENV", "RUST_BACKTRACE", "RUST_LOG"];

/// Whether a variable of this name and value stays behind.
pub fn is_dropped(name: &[u8], value: &[u8]) -> bool {
    let is = |known: &&str| known.as_bytes() == name;
    let is_of_family = || {
        PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
            || SUFFIXES.iter().any(|suffix| name.ends_with(suffix.as_bytes()))
    };
    NAMES.iter().any(is) || (is_of_family() && !HARMLESS.iter().any(is)) || (name == b"TZ" && is_a_file(value))
}

/// A time zone may be a file anywhere, where its name is a path (tzset(3)).
fn is_a_file(zone: &[u8]) -> bool {
    let zone = zone.strip_prefix(b":").unwrap_or(zone);
    zone.starts_with(b"/") || zone.split(|byte| *byte == b'/').any(|part| part == b"..")
}

/// Whether a variable says where zei-init looks, and puts what it makes.
pub fn is_zeis(name: &[u8]) -> bool {
    name.starts_with(b"ZEI_") || name == b"XDG_RUNTIME_DIR"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_a_program_do_something_else_stays_behind_and_nothing_more() {
        let dropped = "LD_PRELOAD GLIBC_TUNABLES GCONV_PATH LOCPATH BASH_ENV ENV IFS BASH_FUNC_ls%% PYTHONPATH PERL5OPT \
                       RUBYOPT LUA_INIT_5_4 R_PROFILE R_ENVIRON NODE_OPTIONS NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED \
                       BUN_OPTIONS npm_config_prefix JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS JAVA_HOME CLASSPATH \
                       COMPlus_EnableDiagnostics CORECLR_PROFILER DOTNET_STARTUP_HOOKS \
                       ASPNETCORE_HOSTINGSTARTUPASSEMBLIES GIT_SSH_COMMAND GIT_CONFIG_GLOBAL XDG_CONFIG_HOME \
                       AWS_CONFIG_FILE KUBECONFIG SSLKEYLOGFILE SSL_CERT_FILE SSL_CERT_DIR OPENSSL_CONF LESSOPEN LESSCLOSE \
                       LESSKEY EDITOR VISUAL PAGER TERMINFO TERMINFO_DIRS TERMCAP GTK_MODULES GTK2_RC_FILES QT_PLUGIN_PATH \
                       HTTP_PROXY https_proxy ALL_PROXY no_proxy TMPDIR TZDIR PHP_INI_SCAN_DIR VIMINIT KRB5_CONFIG";
        for name in dropped.split_ascii_whitespace() {
            assert!(is_dropped(name.as_bytes(), b"1"), "{name}");
        }
        let kept = "PATH HOME A TZ LANG LC_ALL TERM ENVIRONMENT OLD_LD_PRELOAD DATABASE_URL NODE NODE_ENV NODENAME RUST_LOG \
                    PORT AWS_REGION AWS_ACCESS_KEY_ID PROXY POSTGRES_PASSWORD MYSQL_DATABASE REDIS_URL HOSTNAME USER R";
        for name in kept.split_ascii_whitespace().chain([""]) {
            assert!(!is_dropped(name.as_bytes(), b"1"), "{name}");
        }
    }

    #[test]
    fn a_time_zone_is_taken_and_a_file_in_its_place_is_not() {
        for zone in ["Europe/Berlin", "UTC0", ":America/New_York", "", ":", "<-03>3"] {
            assert!(!is_dropped(b"TZ", zone.as_bytes()), "{zone}");
        }
        for file in ["/tmp/zone", ":/tmp/zone", "../../tmp/zone", ":Europe/../../tmp/zone"] {
            assert!(is_dropped(b"TZ", file.as_bytes()), "{file}");
        }
    }

    #[test]
    fn each_name_stands_in_the_table_once_and_in_order() {
        for table in [NAMES, PREFIXES, SUFFIXES, HARMLESS] {
            assert!(table.is_sorted_by(|one, other| one < other), "{table:?}");
        }
        let twice = |name: &&&str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        assert_eq!(NAMES.iter().find(twice), None);
    }
}
