//! Names that programs obey. An environment that carries such a name from a writer of secrets lets that writer choose
//! what the reader's program runs, where it looks names up, or whom it trusts: the writer becomes a reader.
//!
//! A name is here if a loader, libc, a shell, an interpreter or a widespread tool obeys it by itself, whatever the app
//! is. A name that only the app obeys is not: `DATABASE_URL` chooses the database, and is the owner's to set. Exact names
//! are preferred; a prefix is used where the whole family belongs to one program, which may add names to it. The sources
//! are what glibc drops for programs with more rights than their caller (`UNSECURE_ENVVARS`), what sudo removes, and the
//! manuals of the programs.
//!
//! The list cannot be complete. What does not depend on it: a program is looked up before secrets are merged, and a
//! variable that an environment already has is not replaced without consent.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::name::SecretName;

/// Names that one kind of program obeys.
#[derive(Clone, Copy, Debug)]
pub struct ReservedFamily {
    /// Who obeys them.
    pub obeyed_by: &'static str,
    /// What they can change.
    pub effect: &'static str,
    names: &'static str,
    prefixes: &'static str,
}

/// All reserved names.
pub const RESERVED: &[ReservedFamily] = &[
    ReservedFamily {
        obeyed_by: "the dynamic loader",
        effect: "loads libraries into the program",
        names: "LIBPATH SHLIB_PATH",
        prefixes: "LD_ DYLD_ LDR_ _RLD",
    },
    ReservedFamily {
        obeyed_by: "libc",
        effect: "loads converters and locales, resolves host names, places files",
        names: "GCONV_PATH GETCONF_DIR GMON_OUT_PREFIX HOSTALIASES I18NPATH LANGUAGE LOCALDOMAIN LOCPATH \
            MUSL_LOCPATH NIS_PATH NLSPATH PATH_LOCALE PCPROFILE_OUTPUT RES_OPTIONS \
            SEGFAULT_OUTPUT_NAME TEMP TEXTDOMAIN TEXTDOMAINDIR TMP TMPDIR TZDIR",
        prefixes: "GLIBC_ MALLOC_ RESOLV_ _RJEM_MALLOC_",
    },
    ReservedFamily {
        obeyed_by: "shells",
        effect: "runs files and commands, finds programs, splits words",
        names: "BASH_ENV BASH_LOADABLES_PATH BASH_XTRACEFD BASHOPTS CDPATH ENV EXECIGNORE FCEDIT FIGNORE FPATH \
            GLOBIGNORE HISTFILE IFS INPUTRC MAILPATH MODULE_PATH NULLCMD PATH POSIXLY_CORRECT \
            PROMPT_COMMAND PS0 PS1 PS2 PS3 PS4 READNULLCMD SHELL SHELLOPTS TMPPREFIX ZDOTDIR",
        prefixes: "BASH_FUNC_",
    },
    ReservedFamily {
        obeyed_by: "programs that read a user's files",
        effect: "names the directories of their configuration, plugins and sockets",
        names: "HOME NETRC TERMCAP TERMINFO TERMINFO_DIRS TERMPATH XAUTHORITY",
        prefixes: "XDG_",
    },
    ReservedFamily {
        obeyed_by: "Python",
        effect: "runs files and imports modules",
        names: "AIRFLOW_CONFIG AIRFLOW_HOME AIRFLOW__API_AUTH__JWT_SECRET_CMD \
            AIRFLOW__API__SECRET_KEY_CMD AIRFLOW__CELERY__BROKER_URL_CMD \
            AIRFLOW__CELERY__FLOWER_BASIC_AUTH_CMD AIRFLOW__CELERY__RESULT_BACKEND_CMD \
            AIRFLOW__CORE__DAGS_FOLDER AIRFLOW__CORE__FERNET_KEY_CMD \
            AIRFLOW__CORE__INTERNAL_API_SECRET_KEY_CMD AIRFLOW__CORE__PLUGINS_FOLDER \
            AIRFLOW__CORE__SQL_ALCHEMY_CONN_CMD AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD \
            AIRFLOW__SENTRY__SENTRY_DSN_CMD AIRFLOW__SMTP__SMTP_PASSWORD_CMD \
            AIRFLOW__WEBSERVER__SECRET_KEY_CMD BOTOCORE_EXPERIMENTAL__PLUGINS CELERY_CONFIG_MODULE \
            CELERY_LOADER COVERAGE_PROCESS_START COVERAGE_RCFILE DJANGO_SETTINGS_MODULE FLASK_APP \
            GUNICORN_CMD_ARGS IPYTHONDIR JUPYTER_CONFIG_DIR JUPYTER_CONFIG_PATH JUPYTER_DATA_DIR \
            JUPYTER_PATH MATPLOTLIBRC MPLBACKEND MPLCONFIGDIR NOSE_PLUGINS POETRY_CONFIG_DIR \
            POETRY_HOME PYLINTRC PYTEST_ADDOPTS PYTEST_PLUGINS SCRAPY_SETTINGS_MODULE \
            TOX_TESTENV_PASSENV UV_CONFIG_FILE UV_DEFAULT_INDEX UV_INDEX_URL",
        prefixes: "PYTHON PIP_ UWSGI_ UVICORN_",
    },
    ReservedFamily {
        obeyed_by: "Node.js, npm and Bun",
        effect: "runs files, loads modules, trusts certificates",
        names: "BUN_INSPECT_PRELOAD BUN_OPTIONS COREPACK_NPM_REGISTRY DENO_DIR DENO_INSTALL_ROOT \
            NODE_CHANNEL_FD NODE_COMPILE_CACHE NODE_EXTRA_CA_CERTS NODE_ICU_DATA NODE_OPTIONS \
            NODE_PATH NODE_REDIRECT_WARNINGS NODE_REPL_EXTERNAL_MODULE NODE_REPL_HISTORY \
            NODE_TLS_REJECT_UNAUTHORIZED NODE_USE_ENV_PROXY NODE_V8_COVERAGE YARN_PLUGINS \
            YARN_RC_FILENAME YARN_YARN_PATH",
        prefixes: "NPM_CONFIG_",
    },
    ReservedFamily {
        obeyed_by: "Perl",
        effect: "runs code and loads modules",
        names: "PERL_LOCAL_LIB_ROOT PERL_MB_OPT PERL_MM_OPT PERL_USE_UNSAFE_INC PERLLIB",
        prefixes: "PERL5 PERLIO",
    },
    ReservedFamily {
        obeyed_by: "Ruby",
        effect: "runs code and loads libraries",
        names: "BUNDLE_APP_CONFIG BUNDLE_BIN_PATH BUNDLE_GEMFILE BUNDLE_PATH BUNDLE_USER_CONFIG \
            BUNDLE_USER_HOME BUNDLE_USER_PLUGIN BUNDLER_SETUP GEM_HOME GEM_PATH GEM_SPEC_CACHE GEMRC \
            IRBRC RAKEOPT RUBYGEMS_GEMDEPS",
        prefixes: "BUNDLE_MIRROR__ RUBYLIB RUBYOPT RUBYPATH RUBYSHELL",
    },
    ReservedFamily {
        obeyed_by: "Java and its start scripts",
        effect: "loads agents and classes, chooses the Java that runs",
        names: "ANT_OPTS CATALINA_BASE CATALINA_HOME CATALINA_OPTS CLASSPATH GRADLE_OPTS \
            GRADLE_USER_HOME IBM_JAVA_OPTIONS JAVACMD JAVA_HOME JAVA_OPTS JAVA_TOOL_OPTIONS \
            JDK_JAVAC_OPTIONS JDK_JAVA_OPTIONS LOG4J_CONFIGURATION_FILE LOGGING_CONFIG MAVEN_ARGS \
            MAVEN_OPTS OPENJ9_JAVA_OPTIONS SBT_OPTS SPRING_APPLICATION_JSON \
            SPRING_CONFIG_ADDITIONAL_LOCATION SPRING_CONFIG_IMPORT SPRING_CONFIG_LOCATION \
            _JAVA_OPTIONS",
        prefixes: "",
    },
    ReservedFamily {
        obeyed_by: ".NET and Mono",
        effect: "loads assemblies, hooks and profilers",
        names: "ASPNETCORE_HOSTINGSTARTUPASSEMBLIES COR_ENABLE_PROFILING DOTNET_ADDITIONAL_DEPS \
            DOTNET_BUNDLE_EXTRACT_BASE_DIR DOTNET_DIAGNOSTICPORTS DOTNET_GCNAME DOTNET_GCPATH \
            DOTNET_HOSTINGSTARTUPASSEMBLIES DOTNET_SHARED_STORE DOTNET_STARTUP_HOOKS MONO_CONFIG \
            MONO_ENV_OPTIONS MONO_GAC_PREFIX MONO_PATH NUGET_CREDENTIALPROVIDERS_PATH \
            NUGET_FALLBACK_PACKAGES NUGET_NETCORE_PLUGIN_PATHS NUGET_NETFX_PLUGIN_PATHS \
            NUGET_PACKAGES NUGET_PLUGIN_PATHS PSMODULEPATH",
        prefixes: "COMPLUS_ COR_PROFILER CORECLR_ DOTNET_ROOT",
    },
    ReservedFamily {
        obeyed_by: "Erlang and Elixir",
        effect: "loads code and evaluates options",
        names: "ELIXIR_ERL_OPTIONS ERL_COMPILER_OPTIONS ERL_INETRC ERL_LIBS MIX_ARCHIVES MIX_EXS MIX_HOME \
            RELEASE_BOOT_SCRIPT RELEASE_REMOTE_VM_ARGS RELEASE_SYS_CONFIG RELEASE_VM_ARGS",
        prefixes: "ERL_AFLAGS ERL_FLAGS ERL_ZFLAGS",
    },
    ReservedFamily {
        obeyed_by: "PHP, Lua, R, Julia, Tcl and Guile",
        effect: "names their start files and modules",
        names: "COMPOSER_HOME GUILE_LOAD_COMPILED_PATH GUILE_LOAD_PATH JULIA_BINDIR JULIA_DEPOT_PATH \
            JULIA_LOAD_PATH JULIA_PROJECT PHP_INI_SCAN_DIR PHPRC R_ENVIRON R_ENVIRON_USER R_HOME R_LIBS \
            R_LIBS_SITE R_LIBS_USER R_PROFILE R_PROFILE_USER TCL_LIBRARY TCLLIBPATH",
        prefixes: "LUA_CPATH LUA_INIT LUA_PATH",
    },
    ReservedFamily {
        obeyed_by: "Go, Rust, C compilers and make",
        effect: "runs other compilers, fetches code, weakens checks",
        names: "AR C_INCLUDE_PATH CARGO_ENCODED_RUSTFLAGS CARGO_HOME CARGO_REGISTRY_CREDENTIAL_PROVIDER \
            CC COMPILER_PATH CPATH CPLUS_INCLUDE_PATH CXX GCC_EXEC_PREFIX GCCGO GNUMAKEFLAGS GOAUTH \
            GOCACHEPROG GODEBUG GOENV GOFLAGS GOINSECURE GONOSUMDB GOPATH GOPROXY GOROOT GOSUMDB \
            GOTOOLCHAIN GOVCS LIBRARY_PATH MAKEFILES MAKEFLAGS MAKESHELL PKG_CONFIG RUSTC \
            RUSTC_WORKSPACE_WRAPPER RUSTC_WRAPPER RUSTDOC RUSTDOCFLAGS RUSTFLAGS",
        prefixes: "CARGO_ALIAS_ CARGO_BUILD_ CARGO_HTTP_ CARGO_SOURCE_ CARGO_TARGET_ RUSTUP_",
    },
    ReservedFamily {
        obeyed_by: "Git",
        effect: "runs commands, reads other configuration and repositories",
        names: "GIT_ALLOW_PROTOCOL GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_ASKPASS GIT_ATTR_SOURCE \
            GIT_COMMON_DIR GIT_DIR GIT_EDITOR GIT_EXEC_PATH GIT_EXTERNAL_DIFF GIT_INDEX_FILE \
            GIT_OBJECT_DIRECTORY GIT_PAGER GIT_PROTOCOL_FROM_USER GIT_PROXY_COMMAND \
            GIT_PROXY_SSL_CAINFO GIT_SEQUENCE_EDITOR GIT_SSH GIT_SSH_COMMAND GIT_SSH_VARIANT \
            GIT_TEMPLATE_DIR GIT_WORK_TREE",
        prefixes: "GIT_CONFIG GIT_SSL_ GIT_TRACE GIT_TEST_",
    },
    ReservedFamily {
        obeyed_by: "command-line tools",
        effect: "runs commands, reads other configuration, sends work to another server",
        names: "AWS_CONFIG_FILE AWS_PAGER AWS_SHARED_CREDENTIALS_FILE BROWSER CLOUDSDK_CONFIG \
            CLOUDSDK_PYTHON CLOUDSDK_PYTHON_ARGS CONTAINER_HOST CURL_HOME CVS_RSH \
            DBUS_SESSION_BUS_ADDRESS DBUS_STARTER_ADDRESS DBUS_SYSTEM_BUS_ADDRESS DOCKER_CERT_PATH \
            DOCKER_CONFIG DOCKER_HOST EDITOR EXINIT FZF_DEFAULT_COMMAND FZF_DEFAULT_OPTS \
            FZF_DEFAULT_OPTS_FILE GNUPGHOME GREP_OPTIONS GZIP HELM_CONFIG_HOME HELM_DATA_HOME \
            HELM_PLUGINS HGEDITOR HGRCPATH KUBECONFIG KUBECTL_EXTERNAL_DIFF KUBE_EDITOR LESS \
            LESSCLOSE LESSEDIT LESSKEY LESSKEYIN LESSKEY_CONTENT LESSOPEN MANPAGER MANROFFOPT PAGER \
            PGSERVICEFILE PGSYSCONFDIR PSQLRC PSQL_EDITOR PSQL_PAGER RIPGREP_CONFIG_PATH \
            RSYNC_CONNECT_PROG RSYNC_RSH SSH_ASKPASS SSH_AUTH_SOCK SSH_PKCS11_HELPER SSH_SK_HELPER \
            SSH_SK_PROVIDER SUDO_ASKPASS SUDO_EDITOR SVN_EDITOR SVN_SSH SYSTEMD_EDITOR SYSTEMD_PAGER \
            SYSTEM_WGETRC TAR_OPTIONS TF_CLI_CONFIG_FILE UNZIPOPT VIMINIT VIMRUNTIME VISUAL WGETRC \
            XZ_DEFAULTS XZ_OPT ZIPOPT",
        prefixes: "TF_CLI_ARGS ANSIBLE_",
    },
    ReservedFamily {
        obeyed_by: "TLS, Kerberos and LDAP libraries",
        effect: "trusts other certificates, loads modules, writes session keys",
        names: "AWS_CA_BUNDLE CURL_CA_BUNDLE GNUTLS_SYSTEM_PRIORITY_FILE \
            GRPC_DEFAULT_SSL_ROOTS_FILE_PATH GSS_MECH_CONFIG HTTPLIB2_CA_CERTS KRB5_CONFIG \
            KRB5_KTNAME LDAPCONF LDAPRC NIX_SSL_CERT_FILE OPENSSL_CONF OPENSSL_CONF_INCLUDE \
            OPENSSL_ENGINES OPENSSL_MODULES PGSSLROOTCERT REQUESTS_CA_BUNDLE SASL_PATH SSL_CERT_DIR \
            SSL_CERT_FILE SSLKEYLOGFILE",
        prefixes: "LDAPTLS_",
    },
    ReservedFamily {
        obeyed_by: "HTTP clients",
        effect: "sends requests through another server",
        names: "ALL_PROXY FTP_PROXY HTTP_PROXY HTTPS_PROXY NO_PROXY RSYNC_PROXY SOCKS_PROXY WS_PROXY WSS_PROXY",
        prefixes: "",
    },
    ReservedFamily {
        obeyed_by: "libraries with plugins, and sanitizers",
        effect: "loads plugins, writes files",
        names: "ALSA_CONFIG_PATH ALSA_PLUGIN_DIR ASAN_OPTIONS CUDA_INJECTION64_PATH FONTCONFIG_FILE \
            FONTCONFIG_PATH FREI0R_PATH GBM_BACKENDS_PATH GCOV_PREFIX GDAL_CONFIG_FILE GDAL_DATA \
            GDAL_DRIVER_PATH GDK_PIXBUF_MODULEDIR GDK_PIXBUF_MODULE_FILE GEGL_PATH GIO_EXTRA_MODULES \
            GIO_MODULE_DIR GI_TYPELIB_PATH GST_PLUGIN_PATH GST_PLUGIN_PATH_1_0 \
            GST_PLUGIN_SYSTEM_PATH GST_PLUGIN_SYSTEM_PATH_1_0 GS_LIB GS_OPTIONS GTK_MODULES GTK_PATH \
            HDF5_PLUGIN_PATH LADSPA_PATH LIBGL_DRIVERS_PATH LIBMYSQL_PLUGINS LIBMYSQL_PLUGIN_DIR \
            LIBVA_DRIVERS_PATH LLVM_PROFILE_FILE LSAN_OPTIONS LV2_PATH MAGICK_CODER_MODULE_PATH \
            MAGICK_CONFIGURE_PATH MSAN_OPTIONS OCL_ICD_FILENAMES OCL_ICD_VENDORS ODBCINI ODBCSYSINI \
            OMP_TOOL_LIBRARIES QML2_IMPORT_PATH QML_IMPORT_PATH QT_PLUGIN_PATH \
            QT_QPA_PLATFORM_PLUGIN_PATH TSAN_OPTIONS UBSAN_OPTIONS VDPAU_DRIVER_PATH \
            VK_ADD_DRIVER_FILES VK_ADD_LAYER_PATH VK_DRIVER_FILES VK_ICD_FILENAMES \
            VK_INSTANCE_LAYERS VK_LAYER_PATH",
        prefixes: "OMPI_MCA_ PMIX_MCA_",
    },
    ReservedFamily {
        obeyed_by: "petsem",
        effect: "chooses server, token and app of its commands",
        names: "",
        prefixes: "PETSEM_",
    },
];

impl ReservedFamily {
    /// The names, in capitals.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.split_ascii_whitespace()
    }

    /// The beginnings of more names, in capitals.
    pub fn prefixes(&self) -> impl Iterator<Item = &'static str> {
        self.prefixes.split_ascii_whitespace()
    }
}

/// The table by name: each set of a secret, and each line of a list of secrets, asks it.
struct Index {
    names: HashMap<&'static str, &'static ReservedFamily>,
    prefixes: Vec<(&'static str, &'static ReservedFamily)>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| Index {
    names: RESERVED.iter().flat_map(|family| family.names().map(move |name| (name, family))).collect(),
    prefixes: RESERVED
        .iter()
        .flat_map(|family| family.prefixes().map(move |start| (start, family)))
        .collect(),
});

impl SecretName {
    /// The family of this name, if programs obey it: then it is reserved for environments. Files and channels carry it.
    pub fn reserved(&self) -> Option<&'static ReservedFamily> {
        // The table is in capitals. Case does not count: Python, curl and npm obey some of these names in any case.
        let name = self.as_str().to_ascii_uppercase();
        let begins = |(prefix, _): &&(&str, _)| name.starts_with(prefix);
        let family = INDEX.names.get(name.as_str());
        family.or_else(|| INDEX.prefixes.iter().find(begins).map(|(_, family)| family)).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write;

    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reserved-names.md");

    fn obeyed_by(name: &str) -> Option<&'static str> {
        name.parse::<SecretName>().unwrap().reserved().map(|family| family.obeyed_by)
    }

    #[test]
    fn names_that_choose_code_trust_or_look_ups_are_reserved() {
        for (name, by) in [
            ("LD_PRELOAD", "the dynamic loader"),
            ("GCONV_PATH", "libc"),
            ("LOCPATH", "libc"),
            ("HOSTALIASES", "libc"),
            ("RES_OPTIONS", "libc"),
            ("BASH_ENV", "shells"),
            ("PATH", "shells"),
            ("PYTHONSTARTUP", "Python"),
            ("NODE_OPTIONS", "Node.js, npm and Bun"),
            ("PERL5OPT", "Perl"),
            ("RUBYOPT", "Ruby"),
            ("GIT_SSH_COMMAND", "Git"),
            ("GIT_CONFIG_KEY_0", "Git"),
            ("GIT_TEST_FSMONITOR", "Git"),
            ("GOCACHEPROG", "Go, Rust, C compilers and make"),
            ("TEXTDOMAINDIR", "libc"),
            ("LANGUAGE", "libc"),
            ("RAKEOPT", "Ruby"),
            ("SSL_CERT_FILE", "TLS, Kerberos and LDAP libraries"),
            ("UWSGI_EXEC_PRE_JAIL", "Python"),
            ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", "Python"),
            ("ANSIBLE_VAULT_PASSWORD_FILE", "command-line tools"),
            ("GI_TYPELIB_PATH", "libraries with plugins, and sanitizers"),
            ("PETSEM_TOKEN_FILE", "petsem"),
            // curl, Python and npm obey some names in lower case, too.
            ("http_proxy", "HTTP clients"),
            ("npm_config_script_shell", "Node.js, npm and Bun"),
        ] {
            assert_eq!(obeyed_by(name), Some(by), "{name}");
        }
    }

    #[test]
    fn names_that_only_apps_obey_are_not_reserved() {
        let names = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN AWS_ACCESS_KEY_ID AWS_ENDPOINT_URL AWS_REGION AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN \
            BUNDLE_GEMS__CONTRIBSYS__COM CARGO_REGISTRY_TOKEN COMPOSER_AUTH DATABASE_URL \
            DOTNET_ENVIRONMENT ERLANG_COOKIE GITHUB_TOKEN GIT_COMMIT GIT_PASSWORD GIT_SSH_KEY GIT_TOKEN \
            GOOGLE_API_KEY HOSTNAME JAVA_KEYSTORE_PASSWORD JWT_SECRET LANG LDAP_PASSWORD LUA_TOKEN \
            MAIL_PASSWORD NODE_AUTH_TOKEN NODE_ENV NPM_TOKEN PATH_PREFIX PGPASSWORD PORT \
            RAILS_MASTER_KEY REDIS_URL RELEASE_COOKIE SECRET_KEY_BASE SENTRY_DSN SMTP_PASSWORD \
            SSH_PRIVATE_KEY SSL_CERT STRIPE_SECRET_KEY TF_VAR_password TZ VAULT_TOKEN \
            YARN_NPM_AUTH_TOKEN";
        for name in names.split_ascii_whitespace() {
            assert_eq!(obeyed_by(name), None, "{name}");
        }
    }

    #[test]
    fn each_name_is_listed_once_in_capitals() {
        let mut seen = BTreeSet::new();
        for family in RESERVED {
            for name in family.names().chain(family.prefixes()) {
                assert!(name.parse::<SecretName>().is_ok(), "{name}");
                assert_eq!(name, name.to_ascii_uppercase());
                assert!(seen.insert(name), "{name}");
            }
            for name in family.names() {
                let begins = family.prefixes().any(|prefix| name.starts_with(prefix));
                assert!(!begins, "{name} begins with a prefix of its family");
            }
        }
    }

    /// `PETSEM_BLESS=1` regenerates it.
    #[test]
    fn the_page_of_reserved_names_is_generated_from_the_table() {
        let mut page = "\
# Reserved names

Programs obey these names by themselves. Case does not count; `…` stands for any ending. An app's secrets may have such
a name, and its environments carry it, only if the app's setting `allowed_reserved_names` lists it (`petsem app set APP
--allow-reserved-name NAME`). Files on tmpfs and VM channels carry every name. [SECURITY.md](../SECURITY.md) says what
the list cannot do.

`PETSEM_BLESS=1 cargo test -p petsem-api --lib` generates this page from `RESERVED` in `api/src/reserved.rs`, which
says how a name gets onto the list.

| obeyed by | what it can do | names |
|---|---|---|
"
        .to_owned();
        for family in RESERVED {
            let prefixes = family.prefixes().map(|prefix| format!("`{prefix}…`"));
            let names = family.names().map(|name| format!("`{name}`"));
            let names: Vec<_> = prefixes.chain(names).collect();
            writeln!(page, "| {} | {} | {} |", family.obeyed_by, family.effect, names.join(" ")).unwrap();
        }
        if std::env::var_os("PETSEM_BLESS").is_some_and(|bless| bless == "1") {
            std::fs::write(PAGE, &page).unwrap();
        }
        assert_eq!(std::fs::read_to_string(PAGE).unwrap(), page);
    }
}
