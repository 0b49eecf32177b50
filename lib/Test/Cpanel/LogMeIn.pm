package Test::Cpanel::LogMeIn;

use strict;
use warnings;
use Carp                     qw(croak);
use Cpanel::LogMeIn          ();
use Cpanel::LogMeIn::Session ();
use Exporter                 qw(import);
use File::Path               qw(make_path remove_tree);
use File::Temp               qw(tempdir);
use POSIX                    ();
use Scalar::Util             qw(weaken);
use Test::Builder            ();

our $VERSION = '0.01';

## no critic (ProhibitAutomaticExportation)
# The test functions are exported, as in other test modules.
our @EXPORT = qw(
    login_ok login_fails login_fails_like url_redeems_ok session_ok session_ended_ok run_cgi
);

# The options, and what must be a reference.
my %OPTIONS = (
    accounts  => 'HASH',
    clock     => undef,
    domains   => 'HASH',
    fault     => undef,
    gateway   => undef,
    resellers => 'ARRAY',
    settings  => 'HASH',
    waits     => undef,
);
my %ACCOUNT =
    map { $_ => 1 }
    qw(changed expired expires hash locked max not_cpanel password reseller suspended);
my %REQUEST = map { $_ => 1 } qw(env form method query);

# The test functions use the newest site that still exists.
my @sites;

sub _know {
    my ( $options, %given ) = @_;
    my ($unknown) = grep { !$options->{$_} } sort keys %given;
    croak "Unknown option '$unknown'" if defined $unknown;
    return;
}

sub new {
    my ( $class, @given ) = @_;
    croak 'The options must be pairs of a name and a value' if @given % 2;
    my %given = @given;
    _check_options( \%given );
    my $self = bless {
        accounts  => { %{ $given{accounts}  // { alice => 'secret' } } },
        domains   => { %{ $given{domains}   // {} } },
        resellers => [ @{ $given{resellers} // [] } ],
        settings  => { %{ $given{settings}  // {} } },
        waits     => $given{waits},
        dir       => tempdir( 'logmein-XXXXXX', TMPDIR => 1, CLEANUP => 1 ),
        owner     => _owner(),
        before    => $ENV{LOGMEIN_CONF},
    }, $class;
    $self->{settings}{test_clock} = $given{clock} if defined $given{clock};
    $self->{settings}{test_fault} = $given{fault} if defined $given{fault};
    $self->{conf}                 = "$self->{dir}/logmein.conf";
    $self->write_site;
    $self->_check_settings( %{ $self->{settings} } );
    $self->_open_gateway( $given{gateway} ) if $given{gateway};
    $self->write_settings;
    push @sites, $self;
    weaken( $sites[-1] );
    return $self;
}

sub _check_options {
    my ($given) = @_;
    for my $name ( sort keys %{$given} ) {
        croak "Unknown option '$name'" if !exists $OPTIONS{$name};
        my $kind = $OPTIONS{$name} // next;
        croak "The option '$name' must be " . ( $kind eq 'HASH' ? 'a hash' : 'a list' )
            if defined $given->{$name} && ref $given->{$name} ne $kind;
    }
    return;
}

# The default app behind the gateway.
sub _panel {
    my ($env) = @_;
    my $text  = join q{ }, @{$env}{qw(REMOTE_USER logmein.service PATH_INFO)};
    return [ 200, [ 'Content-Type' => 'text/plain' ], ["$text\n"] ];
}

sub _open_gateway {
    my ( $self, $app ) = @_;
    require Test::Cpanel::LogMeIn::Gateway;
    my $gateway = Test::Cpanel::LogMeIn::Gateway->new( $self->{dir}, ref $app ? $app : \&_panel );
    $self->{settings}{"port.$_"} //= $gateway->port($_)
        for map { $_->{name} } Cpanel::LogMeIn::services();
    $self->{gateway} = $gateway;
    return;
}

sub certificate {
    my ($self) = @_;
    return $self->{gateway} && $self->{gateway}->authority;
}

sub ports {
    my ($self) = @_;
    my $gateway = $self->{gateway} // croak 'This site has no gateway';
    return
        map { ( "port.$_->{name}" => $gateway->port( $_->{name} ) ) } Cpanel::LogMeIn::services();
}

# Only the process and thread that created a site may remove it.
sub _owner { return join q{/}, $$, threads->can('tid') ? threads->tid : 0 }

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} ne _owner();
    ## no critic (RequireInitializationForLocalVars, RequireLocalizedPunctuationVars)
    local ( $@, $!, $? );    # keep the status and error of a test that dies
    $self->{gateway}->stop if $self->{gateway};
    remove_tree( $self->{dir} );
    return if ( $ENV{LOGMEIN_CONF} // q{} ) ne $self->{conf};
    $ENV{LOGMEIN_CONF} = $self->{before} // q{};
    delete $ENV{LOGMEIN_CONF} if !defined $self->{before};
    return;
}

sub dir  { my ($self) = @_; return $self->{dir} }
sub root { my ($self) = @_; return "$self->{dir}/site" }
sub conf { my ($self) = @_; return $self->{conf} }

sub path {
    my ( $self, $name ) = @_;
    return $self->root . "/$name";
}

sub write_file {
    my ( $self, $path, $text, $mode ) = @_;
    my ($folder) = $path =~ m{\A(.*)/}s;
    make_path($folder);
    unlink $path;
    open my $file, '>', $path or croak "$path: $!";
    print {$file} $text;
    close $file or croak "$path: $!";
    chmod $mode // oct 644, $path or croak "$path: $!";
    return;
}

sub _read_file {
    my ($path) = @_;
    open my $file, '<', $path or return q{};
    local $/ = undef;
    return scalar readline $file;
}

# A cheap hash, because otherwise hundreds of logins would take minutes.
my %hashes;

sub hash_of {
    my ($password) = @_;
    return $hashes{$password} //= Cpanel::LogMeIn::hash_password( $password, '$5$', 1000 )
        // croak "No hash: $Cpanel::LogMeIn::detail";
}

# The description of an account, always as a hash.
sub _facts_of {
    my ( $self, $name ) = @_;
    my $given = $self->{accounts}{$name};
    croak "The account '$name' must be a password or a hash"
        if ref $given && ref $given ne 'HASH';
    my %facts   = ref $given ? %{$given} : ( password => $given );
    my @unknown = grep { !$ACCOUNT{$_} } sort keys %facts;
    croak "Unknown key '$unknown[0]' of an account" if @unknown;
    croak "The account '$name' has no password"
        if !defined $facts{password} && !defined $facts{hash};
    return \%facts;
}

sub shadow_line {
    my ( $self, $name, $key ) = @_;
    my $facts = $self->_facts_of($name);
    my $hash  = $facts->{hash} // hash_of( $facts->{password} );
    $hash = "!$hash" if $facts->{locked};
    return join( q{:},
        $key, $hash, $facts->{changed} // 19_000,
        0, $facts->{max} // 99_999,
        7, q{}, $facts->{expires} // ( $facts->{expired} ? 1 : q{} ), q{} )
        . "\n";
}

sub account {
    my ( $self, $name, $given ) = @_;
    if ( defined $given ) { $self->{accounts}{$name} = $given }
    else                  { delete $self->{accounts}{$name} }
    return $self->write_site;
}

# The default owner of a mailbox's domain.
sub _owner_of {
    my ( $self, $domain ) = @_;
    my @cpanel = grep { !/@/ && $_ ne 'root' } keys %{ $self->{accounts} };
    croak "The owner of $domain is not known: add domains => { '$domain' => ACCOUNT }"
        if @cpanel != 1;
    return $cpanel[0];
}

sub write_site {
    my ($self) = @_;
    my @names = sort keys %{ $self->{accounts} };
    $self->{domains}{ lc "$_.example" } //= $_
        for grep { /\A[A-Za-z0-9-]+\z/ && $_ ne 'root' } @names;
    for my $address ( grep { /@/ } @names ) {
        my ($domain) = $address =~ /@(.*)/s;
        $self->{domains}{$domain} //= $self->_owner_of($domain);
    }
    $self->_write_accounts( grep { !/@/ } @names );
    $self->_write_mailboxes( grep { /@/ } @names );
    $self->write_file( $self->path('etc/shells'), "/bin/sh\n/bin/bash\n" );
    $self->write_file(
        $self->path('etc/userdomains'),
        join q{}, ( map { "$_: $self->{domains}{$_}\n" } sort keys %{ $self->{domains} } ),
        "*: nobody\n"
    );
    $self->write_file( $self->path('etc/localdomains'), "host.example\n" );
    my @resellers = grep { $self->_facts_of($_)->{reseller} } grep { !/@/ } @names;
    $self->write_file(
        $self->path('var/cpanel/resellers'),        join q{},
        map { "$_:all\n" } @{ $self->{resellers} }, @resellers
    );
    return;
}

# Homes must belong to their accounts; only root can change their owner.
sub _uid_of {
    my ( $self, $name ) = @_;
    return 0  if $name eq 'root';
    return $< if $< != 0;
    return $self->{uid}{$name} //= 1001 + keys %{ $self->{uid} };
}

sub _write_accounts {
    my ( $self,   @names )  = @_;
    my ( $passwd, $shadow ) = ( q{}, q{} );
    for my $name (@names) {
        my ( $uid, $facts ) = ( $self->_uid_of($name), $self->_facts_of($name) );
        $passwd .= "$name:x:$uid:${uid}::/home/$name:/bin/bash\n";
        $shadow .= $self->shadow_line( $name, $name );
        make_path( $self->path("home/$name") );
        chown $uid, -1, $self->path("home/$name") if $< == 0;
        my $suspended = $self->path("var/cpanel/suspended/$name");
        if    ( $facts->{suspended} )              { $self->write_file( $suspended, q{} ) }
        elsif ( delete $self->{suspended}{$name} ) { unlink $suspended }
        $self->{suspended}{$name} = 1 if $facts->{suspended};
        next                          if $name eq 'root' || $facts->{not_cpanel};
        $self->write_file( $self->path("var/cpanel/users/$name"), "USER=$name\n" );
    }
    $self->write_file( $self->path('etc/passwd'), $passwd );
    $self->write_file( $self->path('etc/shadow'), $shadow, oct 640 );
    make_path( $self->path('var/cpanel/suspended'), $self->path('var/cpanel/users') );
    return;
}

sub mail_shadow {
    my ( $self, $domain ) = @_;
    return $self->path("home/$self->{domains}{$domain}/etc/$domain/shadow");
}

sub _write_mailboxes {
    my ( $self, @addresses ) = @_;
    my %lines = map { $_ => q{} } keys %{ $self->{mail} };
    for my $address (@addresses) {
        my ( $name, $domain ) = split /@/, $address, 2;
        $lines{$domain} .= $self->shadow_line( $address, $name );
    }
    for my $domain ( sort keys %lines ) {
        my $path = $self->mail_shadow($domain);
        $self->write_file( $path, $lines{$domain}, oct 640 );
        chown $self->_uid_of( $self->{domains}{$domain} ), -1, $path if $< == 0;
        $self->{mail}{$domain} = 1;
    }
    return;
}

# All settings of the site, with these in the place of its own. What is undefined has
# the site's default.
sub _all_settings {
    my ( $self, %given ) = @_;
    my %default = (
        site_root => $self->root,
        store     => "lmdb:$self->{dir}/store",
        log       => "file:$self->{dir}/log",

        # A login never leaves the machine, nor reaches its own gateway.
        backend        => 'local',
        gateway_socket => "$self->{dir}/gateway.sock",
    );
    my @given = grep { defined $given{$_} } keys %given;
    return ( %default, map { $_ => $given{$_} } @given );
}

# One line for each, in the order of their keys.
sub _text_of {
    my (%settings) = @_;
    return join q{}, map { "$_ = $settings{$_}\n" } sort keys %settings;
}

# Dies if the settings would be refused. Only settings with test_clock or test_fault are
# logged when they are read: these are read without a log.
sub _check_settings {
    my ( $self, %given ) = @_;
    my %all = $self->_all_settings(%given);
    for my $key ( sort keys %all ) {
        croak "The setting '$key' must be a string of one line"
            if ref $all{$key} || "$key$all{$key}" =~ /[\r\n\0]/;
    }
    my %untimed = map { $_ => $all{$_} } grep { !/\Atest_/ } keys %all;
    my $path    = "$self->{conf}.check";
    for my $settings ( \%untimed, { %all, log => 'none' } ) {
        $self->write_file( $path, _text_of( %{$settings} ) );
        local $ENV{LOGMEIN_CONF} = $path;
        my $complaint = _complaint() // next;
        my ( $line, $rule ) = $complaint =~ /\A\Q$path\E line ([0-9]+)(?:, [\w.]+)?: (.*)\z/s;
        croak $complaint if !defined $line;
        my $key = ( sort keys %{$settings} )[ $line - 1 ];
        croak "The setting '$key = $settings->{$key}' $rule";
    }
    unlink $path;
    return;
}

# Why the settings can't be read; undef if they can.
sub _complaint {
    local ( $@, $Cpanel::LogMeIn::detail );    ## no critic (RequireInitializationForLocalVars)
    return if eval { Cpanel::LogMeIn::Session->new->settings; 1 };
    return $Cpanel::LogMeIn::detail;
}

sub write_settings {
    my ( $self, %more ) = @_;

    # A file that is younger than two seconds would not be read yet.
    my ( $new, $old ) = ( "$self->{conf}.new", time - 10 );
    $self->write_file( $new, _text_of( $self->_all_settings( %{ $self->{settings} }, %more ) ) );
    utime $old, $old, $new or croak "$new: $!";
    rename $new, $self->{conf} or croak "$self->{conf}: $!";
    $ENV{LOGMEIN_CONF} = $self->{conf};    ## no critic (RequireLocalizedPunctuationVars)
    $self->_restart_gateway if $self->{gateway};
    return;
}

# A gateway reads its settings at start. Its ports stay open during the restart.
sub _restart_gateway {
    my ($self) = @_;
    $self->{gateway}->stop;
    $self->{gateway}->start;
    return;
}

# Changes settings permanently; undef restores the site's default.
sub settings {
    my ( $self, %changes ) = @_;
    my %settings = ( %{ $self->{settings} }, %changes );
    $self->_check_settings(%settings);
    $self->{settings} = \%settings;
    return $self->write_settings;
}

sub clock { my ( $self, $epoch ) = @_; return $self->settings( test_clock => $epoch ) }
sub fault { my ( $self, $fault ) = @_; return $self->settings( test_fault => $fault ) }

# Removes the volatile part of the store, including failed logins.
sub forget {
    my ($self) = @_;
    remove_tree("$self->{dir}/store/volatile");
    return;
}

sub log_text { my ($self) = @_; return _read_file("$self->{dir}/log") }

# The documented call, with defaults for tests.
sub login {
    my ( $self, %given ) = @_;
    my @answer = Cpanel::LogMeIn::get_loggedin_url(
        user     => 'alice',
        pass     => 'secret',
        hostname => 'localhost',
        service  => 'cpanel',
        goto_uri => q{/},
        %given,
    );
    $self->forget if !$answer[0] && !$self->{waits};
    return wantarray ? @answer : $answer[0];
}

# Ticket, token and port of a login URL of either form.
sub parse_url {
    my ($url)    = @_;
    my ($token)  = $url =~ m{\Ahttps://[^/]+(/cpsess[0-9]{10})/};
    my ($ticket) = $url =~ m{[?&]session=(lmt_[A-Za-z0-9_-]{43})(?:[&#]|\z)};
    my ($port)   = $url =~ m{\Ahttps://[^/]+:([0-9]+)/};
    return ( $ticket, $token, $port );
}

# The service of the URL's port.
sub _service_at {
    my ( $self, $port ) = @_;
    for my $service ( Cpanel::LogMeIn::services() ) {
        my $there = $self->{settings}{"port.$service->{name}"} // $service->{port};
        return $service->{name} if defined $port && $port == $there;
    }
    return 'cpanel';
}

# What another server has put into its URL instead of a ticket: a cookie.
sub _cookie_in {
    my ($url)   = @_;
    my ($value) = $url =~ /[?&]session=(?!lmt_)([^&#]+)/ or return;
    $value =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    return $value;
}

# The site whose gateway listens at the URL's port on this machine.
sub _site_at {
    my ($url) = @_;
    my ( $host, $port ) = $url =~ m{\Ahttps://([^/]+):([0-9]+)/};
    return if !defined $host || $host !~ /\A(?:localhost|127[.]0[.]0[.]1)\z/;
    for my $site ( reverse grep { defined } @sites ) {
        next if !$site->{gateway};
        my %port = $site->ports;
        return $site if grep { $port == $_ } values %port;
    }
    return;
}

# Sites of sessions that were opened at another site than the newest, by their cookies.
my %opened_at;

# Redeems the URL: returns the session with its cookie, or undef; and the reason.
sub redeem {
    my ( $self, $url, $service ) = @_;
    $url //= q{};
    my ( $ticket, $token, $port ) = parse_url($url);
    my $cookie = _cookie_in($url);
    my $ask    = sub {
        my ($site) = @_;
        return Cpanel::LogMeIn::Session->redeem(
            ticket  => $ticket // $cookie,
            token   => $token,
            service => $service // $site->_service_at($port),
        );
    };
    my ( $session, $reason ) = $ask->($self);
    if ( defined $cookie && $reason eq 'unknown' ) {
        my $there = _site_at($url);
        return wantarray ? ( undef, 'elsewhere' ) : undef if !$there;
        local $ENV{LOGMEIN_CONF} = $there->conf;
        ( $session, $reason ) = $ask->($there);
        weaken( $opened_at{ $session->{cookie} } = $there ) if $session;
    }
    return wantarray ? ( $session, $reason ) : $session;
}

# Runs the job in a child process and returns its result.
sub in_child {
    my ($job) = @_;
    my $pid = open( my $out, '-|' ) // croak "fork: $!";
    if ( !$pid ) {
        print $job->();
        close STDOUT or POSIX::_exit(1);
        POSIX::_exit(0);
    }
    local $/ = undef;
    my $said = readline $out;
    close $out;
    return $said;
}

# The test functions. The last argument is the test name, as in Test::More.

sub _site {
    @sites = grep { defined } @sites;
    croak 'There is no site: call Test::Cpanel::LogMeIn->new first' if !@sites;
    weaken($_) for @sites;
    return $sites[-1];
}

sub _report {
    my ( $good, $name, @why ) = @_;
    my $builder = Test::Builder->new;
    $builder->ok( $good, $name ) or $builder->diag(@why);
    return $good;
}

sub login_ok {
    my ( $login, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ( $ok, $message, $url, $token ) = _site()->login( %{$login} );
    _report( $ok, $name // 'the login is good', "$message\n$Cpanel::LogMeIn::detail" );
    return wantarray ? ( $url, $token ) : $url;
}

sub login_fails {
    my ( $login, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ( $ok, $message ) = _site()->login( %{$login} );
    _report( !$ok, $name // 'the login fails', 'it is good' );
    return $message;
}

sub login_fails_like {
    my ( $login, $pattern, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ( $ok, $message ) = _site()->login( %{$login} );
    _report(
        scalar( !$ok && $message =~ $pattern ),
        $name // 'the login fails',
        "$message\ndoes not match $pattern\n$Cpanel::LogMeIn::detail"
    );
    return $message;
}

sub url_redeems_ok {
    my ( $url, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ( $session, $reason ) = _site()->redeem($url);
    my $why =
        $reason eq 'elsewhere'
        ? 'no site of this test has made the URL: open it at its server'
        : "the answer is: $reason";
    _report( $session, $name // 'the URL opens a session', $why );
    return $session;
}

sub _reason_of {
    my ($session) = @_;
    return 'there is no session' if ref $session ne 'HASH' || !$session->{service};
    my %request = map { $_ => $session->{$_} } qw(cookie token service);
    my $there   = $opened_at{ $session->{cookie} // q{} };
    local $ENV{LOGMEIN_CONF} = $there ? $there->conf : $ENV{LOGMEIN_CONF};
    return ( Cpanel::LogMeIn::Session->check(%request) )[1];
}

sub session_ok {
    my ( $session, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $reason = _reason_of($session);
    return _report( $reason eq 'granted', $name // 'the session lives', "the answer is: $reason" );
}

sub session_ended_ok {
    my ( $session, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $reason = _reason_of($session);
    return _report( $reason eq 'unknown', $name // 'the session has ended',
        "the answer is: $reason" );
}

# CGI scripts.

sub _form_of {
    my ($form) = @_;
    return $form // q{} if !ref $form;
    my $encoded = sub {
        my ($text) = @_;
        utf8::encode($text) if utf8::is_utf8($text);
        return $text =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger;
    };
    return join q{&}, map { $encoded->($_) . q{=} . $encoded->( $form->{$_} ) } sort keys %{$form};
}

# The environment of RFC 3875; the caller can override its variables.
sub _cgi_environment {
    my ( $script, $body, %given ) = @_;
    my ($name) = $script =~ m{([^/]+)\z};
    my %environment = (
        PATH              => $ENV{PATH},
        GATEWAY_INTERFACE => 'CGI/1.1',
        SERVER_PROTOCOL   => 'HTTP/1.1',
        SERVER_SOFTWARE   => "Test-Cpanel-LogMeIn/$VERSION",
        SERVER_NAME       => 'portal.example',
        SERVER_PORT       => 443,
        HTTPS             => 'on',
        HTTP_HOST         => 'portal.example',
        REMOTE_ADDR       => '192.0.2.1',
        REQUEST_METHOD    => $given{method} // ( defined $given{form} ? 'POST' : 'GET' ),
        SCRIPT_NAME       => "/$name",
        QUERY_STRING      => _form_of( $given{query} ),
        LOGMEIN_CONF      => $ENV{LOGMEIN_CONF},
        PERL5LIB          => join( q{:}, grep { !ref } @INC ),
    );
    if ( defined $given{form} ) {
        $environment{CONTENT_TYPE}   = 'application/x-www-form-urlencoded';
        $environment{CONTENT_LENGTH} = length $body;
    }

    # The loader needs these if the module was built with a sanitizer.
    for my $name ( grep { exists $ENV{$_} } qw(LD_LIBRARY_PATH LD_PRELOAD ASAN_OPTIONS) ) {
        $environment{$name} = $ENV{$name};
    }
    return ( %environment, %{ $given{env} // {} } );
}

# A status of 500, as web servers answer, if the script has failed or has printed no head.
sub _parse_response {
    my ( $out,     $failed ) = @_;
    my ( $head,    $body )   = split /\r?\n\r?\n/, $out, 2;
    my ( %headers, $status );
    for my $line ( split /\r?\n/, $head // q{} ) {
        my ( $name, $value ) = $line =~ /\A([A-Za-z0-9-]+):[ \t]*(.*)\z/ or next;
        push @{ $headers{ lc $name } }, $value;
    }
    if ( $headers{status} ) { ($status) = $headers{status}[0] =~ /\A([0-9]{3})/ }
    $status //= $headers{location} ? 302 : 200;
    $status = 500 if $failed || !%headers || !defined $body;
    return ( status => $status, headers => \%headers, body => $body // q{} );
}

sub run_cgi {
    my ( $script, %given ) = @_;
    _know( \%REQUEST, %given );
    my $body    = _form_of( $given{form} );
    my @command = -x $script ? $script =~ m{/} ? $script : "./$script" : ( $^X, $script );
    my $input   = _site()->dir . '/cgi-input';
    my $error   = _site()->dir . '/cgi-error';
    _site()->write_file( $input, $body, oct 600 );
    my %environment = _cgi_environment( $script, $body, %given );
    my $out         = in_child(
        sub {
            %ENV = %environment;    ## no critic (RequireLocalizedPunctuationVars)
            open STDIN,  '<', $input or POSIX::_exit(126);
            open STDERR, '>', $error or POSIX::_exit(126);
            { exec { $command[0] } @command }
            print {*STDERR} "$command[0]: $!\n";
            close STDERR or POSIX::_exit(126);
            POSIX::_exit(127);
        }
    );
    my $exit = $?;
    _site()->forget if !_site()->{waits};
    return { _parse_response( $out // q{}, $exit ), exit => $exit, error => _read_file($error) };
}

1;

__END__

=head1 NAME

Test::Cpanel::LogMeIn - a throw-away site for tests of scripts that log in

=head1 SYNOPSIS

    use Test::More;
    use Test::Cpanel::LogMeIn;

    my $site = Test::Cpanel::LogMeIn->new( accounts => { alice => 'secret' } );

    my ( $url, $token ) = login_ok( { user => 'alice', pass => 'secret' }, 'alice logs in' );
    my $session = url_redeems_ok( $url, 'her link opens the panel' );
    session_ok( $session, 'and her session lives' );
    login_fails_like( { pass => 'wrong' }, qr/invalid/, 'a wrong password does not' );

    done_testing();

=head1 DESCRIPTION

For tests of scripts that call L<Cpanel::LogMeIn/get_loggedin_url>. One line
creates a site in a temporary folder: accounts in cPanel's layout, settings, a
store. C<LOGMEIN_CONF> is set to the settings file for this process and its
children, so that the script under test needs no change. Passwords are hashed with
the cheapest accepted scheme. Neither root nor a network is needed, no server
process is started unless you request a gateway, and the site is removed when the
object is destroyed, or when the test ends or dies.

No login leaves the machine, whatever its hostname, unless you ask for it: see
L</TESTING REMOTE LOGINS>.

Sites are independent of each other: tests may run in parallel.

=head1 METHODS

=head2 new

    my $site = Test::Cpanel::LogMeIn->new(%options);

All options have a default. An unknown option, an invalid setting, clock or fault
throws an exception that names it, here as in the methods below.

=over 4

=item C<accounts>

A hash of account names; by default C<< { alice => 'secret' } >>. A plain name is a
cPanel account, C<root> is root, a name with C<@> is a mailbox. The value is the
password, or a hash with

    password     the password, or
    hash         the second field of the shadow file, unchanged
    suspended    true: a suspended account
    expired      true: an expired account
    locked       true: its hash begins with "!"
    reseller     true: may log in to whm
    not_cpanel   true: a user of passwd only
    changed, max, expires
                 fields of the shadow file, in days

=item C<domains>

A hash of domains and their owners. By default C<NAME.example> belongs to the
account NAME, and if there is only one cPanel account, it owns the domains of all
mailboxes.

=item C<resellers>

A list of accounts that may log in to C<whm>.

=item C<settings>

A hash of settings: see L<logmein.conf(5)>. Defaults of a test site
are its own C<site_root>, C<store>, C<log> (a file) and C<gateway_socket>, and
C<backend = local>.

=item C<clock>

A fixed time for the clock, in seconds since 1970.

=item C<fault>

C<store-full>, C<store-away> or C<slow> (each login takes a second).

=item C<waits>

True: failed logins are followed by waits, as on a real site. By default L</login>,
the test functions and L</run_cgi> reset the failed logins; otherwise the fourth
failure in a test would result in a wait.

=item C<gateway>

True: a gateway serves the login URLs, on free ports of 127.0.0.1, with TLS. The
value may be the app to protect, see L<Plack::Middleware::LogMeIn>; the default app
returns user, service and path. Needs Plack, HTML::Template and IO::Socket::SSL.
Each service handles one request at a time.

=back

=head2 certificate

    my $browser = HTTP::Tiny->new( SSL_options => { SSL_ca_file => $site->certificate } );

The file of the CA certificate to trust. The CA was created for this site and has
signed the gateway's certificate.

=head2 ports

    my %setting = $site->ports;

The ports of the site's gateway, as the settings C<port.cpanel>, C<port.whm> and
C<port.webmail>, for the settings of another site.

=head2 account

    $site->account( bob => 'secret' );
    $site->account( bob => { password => 'secret', suspended => 1 } );
    $site->account( bob => undef );

Creates, changes or removes an account.

=head2 settings

    $site->settings( session_idle => 60 );

Changes settings permanently; undef restores the site's default. An invalid value
is refused, and changes nothing.

=head2 clock

    $site->clock(1_800_000_000);
    $site->clock(undef);

Sets a fixed time, or restores the real clock.

=head2 fault

    $site->fault('store-full');
    $site->fault(undef);

Simulates a fault, or stops that.

=head2 login

    my ( $login_ok, $message, $url, $token ) = $site->login( user => 'alice', pass => 'secret' );

The documented call. The defaults are user alice, password secret, hostname
localhost, service cpanel and goto_uri /.

=head2 redeem

    my ( $session, $reason ) = $site->redeem($url);
    my ( $session, $reason ) = $site->redeem( $url, 'webmail' );

Opens a login URL as a browser would: see L<Cpanel::LogMeIn::Session/redeem>.
The service is that of the URL's port. The URL of a remote login is opened at the
site of this test whose gateway has made it; if there is none, the reason is
C<elsewhere>.

=head2 forget

Removes failed logins and the last access times of sessions.

=head2 log_text

Returns the content of the log.

=head2 dir, root, conf, path

    my $shadow = $site->path('etc/shadow');

The temporary folder, the site's root in it, the settings file, and a file of
the site by its name.

=head2 write_file

    $site->write_file( $path, $text, oct 600 );

Writes a file, with its folders; the mode is 0644 by default.

=head2 mail_shadow

The shadow file of a domain's mailboxes.

=head2 shadow_line

    my $line = $site->shadow_line( 'info@alice.example', 'info' );

A line for a shadow file. Arguments: the account, and the name in the line.

=head2 write_site, write_settings

    $site->write_settings( login_url => 'login' );

Rewrite the files. The arguments of C<write_settings> are effective until its next
call. They are not checked: a test may want a file that is refused.

=head1 FUNCTIONS

=head2 hash_of

    my $hash = Test::Cpanel::LogMeIn::hash_of('secret');

A cheap hash, the same at each call.

=head2 parse_url

    my ( $ticket, $token, $port ) = Test::Cpanel::LogMeIn::parse_url($url);

The parts of a login URL.

=head2 in_child

    my $said = Test::Cpanel::LogMeIn::in_child( sub {...} );

Runs the job in a child process, and returns its result as text.

=head1 TEST FUNCTIONS

These are exported. They use the newest site that still exists. The last argument
is the name of the test.

=head2 login_ok

    my ( $url, $token ) = login_ok( { user => 'alice', pass => 'secret' }, 'alice logs in' );

Takes the arguments of L</login>. In scalar context, the URL.

=head2 login_fails

    my $message = login_fails( { pass => 'wrong' }, 'a wrong password' );

=head2 login_fails_like

    my $message = login_fails_like( { user => '' }, qr/'user' is missing/, 'no name' );

=head2 url_redeems_ok

    my $session = url_redeems_ok( $url, 'the link works' );

Opens the URL as L</redeem> does, and returns the session with its cookie.

=head2 session_ok

    session_ok( $session, 'the session lives' );

=head2 session_ended_ok

    session_ended_ok( $session, 'the session has ended' );

=head2 run_cgi

    my $answer = run_cgi( 'login.cgi', form => { user => 'alice', pass => 'secret' } );

Runs a CGI script as a web server does, and returns a hash: C<status>,
C<headers> (a hash of lower-case names and lists of values), C<body>, C<exit>
(the wait status) and C<error> (what went to STDERR). Options:

    form     a hash, or an encoded string: the body of a POST
    query    the same for the query
    method   POST if there is a form, otherwise GET
    env      a hash of more variables, or other values for the usual ones

The status is 500, as with web servers, if the script can't be run, exits with
another status than 0, is killed, or prints no header.

The browser's address is 192.0.2.1. The script has the module path of the test. A
script that is not executable is run by this perl.

=head1 TESTING REMOTE LOGINS

A script that logs users in at another server is tested with two sites: one with a
gateway is the other server, the second is the machine of the script. They need
libcurl and jansson, and what a gateway needs.

=for comment The text below is run by a test.

    my $server = Test::Cpanel::LogMeIn->new(
        accounts => { bob => 'hidden' },
        gateway  => 1,
    );
    my $machine = Test::Cpanel::LogMeIn->new(
        settings => {
            backend        => 'remote',
            remote_ca_file => $server->certificate,
            $server->ports,
        },
    );
    my $remote = login_ok( { user => 'bob', pass => 'hidden' }, 'a login at the server' );
    my $opened = url_redeems_ok( $remote, 'its link opens there' );
    session_ok( $opened, 'and the session lives there' );
    login_fails( { user => 'alice' }, 'this machine\'s accounts are not asked' );

With C<backend = remote> every hostname is another server's, also C<localhost>, the
name that the gateway's certificate holds. For a script that uses both kinds of
logins set C<backend = auto>, as on a real machine: then names that are not this
site's go to DNS, with the password, as they do there; C<remote_hosts> limits to
which hosts.

To test how a script behaves while the server can't be reached, set
C<port.cpanel = 1>.

=head1 TESTING WITHOUT A LOG

By default the log is a file of the site, see L</log_text>. If a test makes many
logins, and does not read it:

    my $quiet = Test::Cpanel::LogMeIn->new( settings => { log => 'none' } );

A log that can't be written does not refuse logins, but warns on standard error.
This is how to see what a script makes of that:

=for comment The text below is run by a test.

    my $full = Test::Cpanel::LogMeIn->new( settings => { log => 'file:/nowhere/log' } );
    login_ok( {}, 'a login succeeds without a log' );
    is( Cpanel::LogMeIn::Session->log_state->{written}, 0, 'but that is known' );

=head1 A COMPLETE EXAMPLE

This is F<examples/t/portal.t>. It tests F<examples/login.cgi>, the login form
of a portal.

=for comment The text below is compared with the file by a test.

    # How a billing portal may test its login script, here examples/login.cgi.
    # Run it with: prove -b examples/t

    use strict;
    use warnings;
    use FindBin qw($Bin);
    use Test::More;
    use Test::Cpanel::LogMeIn;

    plan skip_all => 'CGI.pm is not installed' if !eval { require CGI; 1 };

    # A site in a temporary folder; needs neither root nor a network.
    my $site = Test::Cpanel::LogMeIn->new(
        accounts => {
            alice                => 'secret',
            bob                  => { password => 'secret', suspended => 1 },
            'info@alice.example' => 'mail',
        },
        domains => { 'alice.example' => 'alice' },
    );
    my $script = "$Bin/../login.cgi";

    # A customer with the right password is sent to the panel.
    my $answer = run_cgi( $script, form => { user => 'alice', pass => 'secret' } );
    is( $answer->{status}, 302, 'a customer is redirected' );
    my $session =
        url_redeems_ok( $answer->{headers}{location}[0], '... to a URL that opens the panel' );
    is( $session->{user}, 'alice', '... as the customer' );
    session_ok( $session, '... with an active session' );

    # All other users get the form again.
    for my $who ( [ alice => 'wrong' ], [ bob => 'secret' ], [ carol => 'secret' ] ) {
        my ( $user, $pass ) = @{$who};
        $answer = run_cgi( $script, form => { user => $user, pass => $pass } );
        is( $answer->{status}, 401, "$user with '$pass' is refused" );
        like( $answer->{body}, qr/The login is invalid[.]/, '... with a message' );
    }

    # Sessions expire.
    $site->clock(1_800_000_000);
    my $url = login_ok( { user => 'alice', pass => 'secret' }, 'another login' );
    $session = url_redeems_ok( $url, 'its link' );
    $site->clock( 1_800_000_000 + 900 );
    session_ended_ok( $session, 'after 15 idle minutes the session has ended' );
    $site->clock(undef);

    # A fault of the machine.
    $site->fault('store-away');
    $answer = run_cgi( $script, form => { user => 'alice', pass => 'secret' } );
    like(
        $answer->{body},
        qr/not possible at the moment/,
        'a fault is not reported as a wrong password'
    );
    $site->fault(undef);
    login_ok( { user => 'alice', pass => 'secret' }, 'logins work again' );

    done_testing();

=head1 CAVEATS

Only the process and thread that created a site remove it.

When tests run as root, the owners of homes may be user ids that do not exist.

=head1 SEE ALSO

L<Cpanel::LogMeIn>, L<Cpanel::LogMeIn::Session>, L<Test::More>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
