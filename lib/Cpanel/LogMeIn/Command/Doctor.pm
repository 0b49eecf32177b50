package Cpanel::LogMeIn::Command::Doctor;

use strict;
use warnings;
use parent 'Cpanel::LogMeIn::Command';
use Cpanel::LogMeIn                    ();
use Cpanel::LogMeIn::Command::Terminal qw(coloured paragraph print_json);
use Cpanel::LogMeIn::Session           ();
use IO::Socket::UNIX                   ();
use POSIX                              ();
use Socket                             qw(AF_INET AF_INET6 inet_pton);

our $VERSION = '0.01';

my $FAIL2BAN = '/etc/fail2ban';

my $DAY         = 86_400;
my $SOON        = 30 * $DAY;           # of a certificate's end
my $LONG        = 366 * $DAY;          # without a commit
my $SPACE       = 64 * 1024 * 1024;    # bytes
my $BEHIND      = 1000;                # commits
my $SLOW        = 250;                 # milliseconds
my $BUILT       = 1_704_067_200;       # 2024-01-01: no clock is before that
my $WRITE       = oct 22;
my $OTHERS      = oct 77;
my $FRONT       = qr/apache|caddy|envoy|feersum|haproxy|httpd|lighttpd|logmein|nginx|plackup/;
my $SERVERS     = qr/$FRONT|hitch|hypnotoad|starlet|starman|stunnel|systemd|traefik|twiggy|uwsgi/;
my $TEST_REMEDY = 'take it out of the settings';

sub actions {
    my @options = qw(cert=s fail2ban=s host=s@ json key=s quiet|q verbose|v);
    return ( q{} => { options => \@options } );
}

sub complaint {
    my ( $class, undef, $option ) = @_;
    return '--key requires --cert.' if defined $option->{key} && !defined $option->{cert};
    return;
}

# Looks at everything, prints what was found, and returns the exit status: 0 if all
# is sound, 1 if not. Dies if it could not look.
sub run {
    my ( $class, undef, $option ) = @_;
    my $self = bless { option => $option, findings => [], sound => [] }, $class;

    # The reasons of the system in English, as all else is.
    POSIX::setlocale( POSIX::LC_MESSAGES(), 'C' );
    $self->{conf} = $class->settings_file;
    $self->_look if $self->_read_settings;
    $self->_print;
    return @{ $self->{findings} } ? 1 : 0;
}

sub _look {
    my ($self) = @_;
    $self->_look_at_settings;
    $self->{owner} = ( stat $self->_store )[4] // ( stat $self->_setting('key_file') )[4];
    my $rights = $self->_look_at_site;
    $rights = $self->_look_at_store && $rights;
    my $socket = $self->_look_at_socket;

    # Who has no rights needs the gateway, and nothing else.
    if ( !$rights && $socket ) {
        @{ $self->{findings} } =
            grep { !$_->{rights} } @{ $self->{findings} };
        $self->_sound('logins go through the socket of the gateway');
    }
    $self->_look_at_names;
    $self->_look_at_log if $rights || !$socket;
    $self->_look_at_fail2ban;
    $self->_look_at_ports;
    $self->_look_at_certificate if defined $self->{option}{cert};
    return;
}

# Findings.

# name, place, text and remedy; then rights => 1 if only this user's rights are missing.
sub _find {
    my ( $self, $level, @finding ) = @_;
    my ( $name, $place, $text, $remedy, %more ) = @finding;
    my %found = ( level => $level, name => $name, place => $place, text => $text, %more );
    push @{ $self->{findings} }, { %found, remedy => $remedy };
    return;
}

sub _error {
    my ( $self, @finding ) = @_;
    $self->_find( 'error', @finding );
    return;
}

sub _warning {
    my ( $self, @finding ) = @_;
    $self->_find( 'warning', @finding );
    return;
}

sub _sound {
    my ( $self, $text ) = @_;
    push @{ $self->{sound} }, $text;
    return;
}

# "PLACE: TEXT (REMEDY)", as the core writes it.
sub _split_detail {
    my ($detail) = @_;
    my ( $place, $text, $remedy ) = $detail =~ m{\A(.*?): (.*?)(?: \((.*)\))?\z}s;
    return ( $place // q{}, $text // $detail, $remedy // q{} );
}

sub _setting {
    my ( $self, $name ) = @_;
    return $self->{sessions}->setting($name);
}

sub _store {
    my ($self) = @_;
    return $self->_setting('store') =~ s/\Almdb://r;
}

sub _folder_of {
    my ($path) = @_;
    return $path =~ m{\A(.*)/[^/]*\z} && length $1 ? $1 : q{/};
}

sub _name_of {
    my ($uid) = @_;
    return getpwuid($uid) // "user $uid";
}

# Settings.

# False if they are invalid. Without a file to look at, nothing can be said.
sub _read_settings {
    my ($self) = @_;
    my $conf = $self->{conf};
    die "$conf: $!\n"
        if ( -e $conf || $conf ne $self->usual_settings_file ) && !open my $file, '<', $conf;
    $self->{sessions} = Cpanel::LogMeIn::Session->new;
    if ( eval { $self->{sessions}->settings; 1 } ) {
        $self->_sound( -e $conf ? "the settings of $conf" : "the default settings; no $conf" );
        return 1;
    }
    my ( $place, $text, $remedy ) = _split_detail($Cpanel::LogMeIn::detail);
    $self->_error( 'settings.invalid', $place, $text,
        $remedy || 'correct it: see "CONFIGURATION" in perldoc Cpanel::LogMeIn' );
    return 0;
}

sub _is_network {
    my ($text) = @_;
    my ( $address, $bits ) = $text =~ m{\A([0-9A-Fa-f:.]+)(?:/([0-9]{1,3}))?\z} or return 0;
    return ( $bits // 0 ) <= 32  if inet_pton( AF_INET,  $address );
    return ( $bits // 0 ) <= 128 if inet_pton( AF_INET6, $address );
    return 0;
}

sub _look_at_settings {
    my ($self)  = @_;
    my %setting = $self->{sessions}->settings;
    my $at      = sub { return "$self->{conf}, $_[0]" };
    $self->_warning( 'settings.test', $at->('test_clock'), 'the clock stands still: for tests only',
        $TEST_REMEDY )
        if length $setting{test_clock};
    $self->_error( 'settings.test', $at->('test_fault'), 'a fault is simulated: for tests only',
        $TEST_REMEDY )
        if $setting{test_fault} ne 'none';
    $self->_warning(
        'settings.insecure',
        $at->('insecure_remote_skip_verify'),
        'passwords are sent to other servers whose certificates are not verified',
        'take it out, and set remote_ca_file if their issuer is your own'
    ) if $setting{insecure_remote_skip_verify} eq 'yes';
    for my $network ( split q{ }, $setting{trusted_proxies} ) {
        $self->_error(
            'settings.proxies',
            $at->('trusted_proxies'),
            "'$network' is no address and no network",
            'write ADDRESS or ADDRESS/BITS'
        ) if !_is_network($network);
        $self->_error(
            'settings.proxies-all',
            $at->('trusted_proxies'),
            "'$network' lets everybody tell which address they have",
            'name the proxies only'
        ) if $network =~ m{/0+\z};
    }
    for my $user ( split q{ }, $setting{socket_callers} ) {
        $self->_warning(
            'settings.callers',         $at->('socket_callers'),
            "there is no user '$user'", 'correct the name, or take it out'
        ) if !defined getpwnam($user) && $setting{socket_callers} ne 'www-data';
    }
    for my $name ( grep { length $setting{$_} } qw(page_logo remote_ca_file) ) {
        $self->_error(
            "settings.$name" =~ tr/_/-/r,
            $at->($name),
            "$setting{$name} can't be read: $!",
            'correct the path, or chmod it'
        ) if !open my $file, '<', $setting{$name};
    }
    my @services = Cpanel::LogMeIn::services();
    my %service  = map { $setting{"port.$_->{name}"} => $_ } @services;
    $self->_error(
        'settings.ports', $at->('port.*'),
        'two services have one port, and a login URL opens the wrong one',
        'give each service a port of its own'
    ) if keys %service < @services;
    return;
}

# The site.

my $READ = 'run it as root, in the group shadow, or with CAP_DAC_READ_SEARCH; callers without'
    . ' these rights need the socket of logmein serve';

# Returns whether the files may be read.
sub _look_at_site {
    my ($self) = @_;
    my ( $left_out, @notes ) = eval { $self->{sessions}->_site_report };
    if ( !defined $left_out ) {
        my ( $place, $text, $remedy ) = _split_detail($Cpanel::LogMeIn::detail);
        $self->_error( 'site.root', $place, $text, $remedy );
        return 1;
    }
    my $rights = 1;
    for my $note (@notes) {
        my $denied = $note->{code} eq 'RIGHTS';
        $rights = 0 if $denied;
        my $level  = ( $note->{name} // q{} ) eq 'hashes.mixed' ? 'warning' : 'error';
        my $remedy = $denied ? $READ : $note->{remedy} // 'put the file there, or correct it';
        $self->_find( $level, $note->{name} // _file_fault($note),
            $note->{place}, _text_of($note), $remedy, rights => $denied );
    }
    $self->_warning(
        'site.more',
        $self->_setting('site_root'),
        "there are $left_out more findings",
        'correct these, and look again'
    ) if $left_out;
    $self->_sound( 'the account files below ' . $self->_setting('site_root') ) if !@notes;
    $self->_look_at_accounts                                                   if $rights;
    return $rights;
}

sub _text_of {
    my ($note) = @_;
    local $! = $note->{errno};
    return $note->{text} . ( $note->{errno} ? ": $!" : q{} );
}

# site.shadow-unreadable, site.passwd-missing, site.mailbox-unsafe and so on.
sub _file_fault {
    my ($note) = @_;
    my ($file) = $note->{place} =~ m{/(passwd|shadow|shells|userdomains|localdomains|resellers)\z};
    $file = 'mailbox' if !defined $file || $note->{place} =~ m{/etc/[^/]+/shadow\z};
    my $what =
          $note->{code} eq 'RIGHTS'              ? 'unreadable'
        : ( $note->{fault} // q{} ) eq 'missing' ? 'missing'
        :                                          'unsafe';
    return "site.$file-$what";
}

# Which accounts may use cpanel, and whether there are any.
sub _look_at_accounts {
    my ($self) = @_;
    my $root   = $self->_setting('site_root') =~ s{/\z}{}r;
    my $set    = $self->_setting('accounts');
    my $folder = "$root/var/cpanel";
    my $cpanel = length $set ? $set eq 'cpanel' : -e $folder || -l $folder;
    my $why =
          length $set ? "accounts = $set"
        : $cpanel     ? "$folder exists"
        :               "$folder does not exist";
    return $self->_look_at_users( "$folder/users", $why, $set ) if $cpanel;
    my %shell = map  { $_ => 1 } _lines("$root/etc/shells");
    my @users = grep { _is_user( \%shell, split /:/ ) } _lines("$root/etc/passwd");
    $self->_error(
        'accounts.none',
        "$root/etc/passwd",
        "no account may log in: $why, so that they need a UID from 1000 to 59999 and a shell that"
            . " is listed in $root/etc/shells",
        'give the accounts such a UID and shell, or set accounts = cpanel'
    ) if !@users;
    return $self->_sound( "$why: the accounts are those of passwd, " . @users );
}

sub _is_user {
    my ( $shell, undef, undef, $uid, @rest ) = @_;
    return 0 if @rest != 4 || $uid !~ /\A[0-9]{4,5}\z/;
    return $uid >= 1000 && $uid <= 59_999 && $shell->{ $rest[-1] };
}

sub _lines {
    my ($path) = @_;
    open my $file, '<', $path or return;
    chomp( my @lines = readline $file );
    return @lines;
}

sub _look_at_users {
    my ( $self, $folder, $why, $set ) = @_;
    my $opened = opendir( my $users, $folder );
    return $self->_error( 'accounts.users-unreadable', $folder, "can't be opened: $!",
        $READ, rights => 1 )
        if !$opened && $!{EACCES};
    my @users = $opened ? grep { !/\A[.]/ } readdir $users : ();
    my $remedy =
        length $set
        ? 'make a file there for each account, or set accounts = passwd'
        : 'if this machine never had cPanel, set accounts = passwd; otherwise make a file there'
        . ' for each account';
    $self->_error(
        'accounts.no-users',
        $folder,
        "no account may log in to cpanel: $why, so that each needs a file here, and there is none",
        $remedy
    ) if !@users;
    return $self->_sound( "$why: the accounts are those with a file in $folder, " . @users );
}

# The store, its key, and the clock.

# Returns whether this user may use the store. What is not there yet is not made.
sub _look_at_store {
    my ($self) = @_;
    my $folder = $self->_store;
    return $self->_look_at_database($folder)       if $folder =~ /\Apostgresql:/;
    return $self->_look_where_store_comes($folder) if !-e $folder && !-l $folder;
    if ( !-e "$folder/data.mdb" && -d $folder && -x _ && !-e $self->_setting('key_file') ) {
        my ( $mode, $uid ) = ( stat $folder )[ 2, 4 ];
        return $self->_store_fault(
            'store.owner', $folder,
            'belongs to ' . _name_of($uid),
            'call as its owner, or as root'
        ) if $> != 0 && $uid != $>;
        $self->_store_fault( 'store.mode', $folder, 'is open to group or others', 'chmod 0700 it' )
            if $mode & $OTHERS;
        $self->_sound("$folder is empty: the first login makes the store");
        return 1;
    }
    my ( $report, $fault ) = $self->{sessions}->_store_report;
    return $self->_store_unusable($fault) if !$report;
    $self->_look_at_volatile;
    $self->_judge_store( $folder, $report );
    $self->_judge_clock($report);
    return 1;
}

# Reads count only for 1.5 seconds after a write that a majority has acknowledged.
sub _judge_majority {
    my ( $self, $report ) = @_;
    return $self->_sound('the database server has no standbys, and store_alone allows it')
        if !$report->{majority};
    return $self->_warning(
        'store.slow', 'store',
        "a majority of its machines took $report->{lease} ms to acknowledge a write",
        'look at the network, and at what the standbys do'
    ) if $report->{lease} > $SLOW;
    return $self->_sound( 'a majority of the database servers acknowledges each write: in '
            . "$report->{lease} ms; what one machine ends, all have ended 2 s later" );
}

# Connecting has looked at the server's clock, and at what it promises.
sub _look_at_database {
    my ( $self,   $url )   = @_;
    my ( $report, $fault ) = $self->{sessions}->_store_report;
    return $self->_store_unusable($fault) if !$report;
    $self->_sound( 'the store and its key: ' . $url =~ s{//[^/@]*@}{//}r );
    $self->_sound(q{the clock, and the database server's});
    $self->_judge_majority($report);
    my $key = $self->{sessions}->_key_report;
    $self->_store_unusable( { %{$key}, name => $key->{fault} } )
        if $key->{code};    # a next key that can't be used
    $self->_look_at_machines;
    return 1;
}

# The account files are looked at anew here; what other machines have is what they noted
# when doctor looked there.
sub _look_at_machines {
    my ($self) = @_;
    my @machines;
    return if !eval { @machines = $self->{sessions}->_machines(1); 1 };    # _look_at_site says why
    my $root = $self->_setting('site_root') =~ s{/\z}{}r;
    for my $machine ( grep { !$_->{here} } @machines ) {
        my $name = $machine->{name};
        my $when = POSIX::strftime( '%Y-%m-%d %H:%M:%S', localtime $machine->{looked} );
        $self->_error(
            'site.differs',
            /\AHOME/ ? $_ : "$root/$_",
            "is not as on $name, where doctor looked at it at $when",
            'let the account files be the same on all machines; if they are by now, run doctor'
                . " on $name first"
        ) for @{ $machine->{differs} };
        $self->_sound(
            !$machine->{looked}
            ? "$name shares the store; doctor has not looked at its files"
            : "the account files are those of $name, where doctor looked at them at $when"
        ) if !@{ $machine->{differs} };
    }
    return;
}

sub _store_fault {
    my ( $self, $name, $place, $text, $remedy ) = @_;
    $self->_error( $name, $place, $text, $remedy, rights => $name eq 'store.owner' );
    return $name ne 'store.owner';
}

sub _store_unusable {
    my ( $self, $fault ) = @_;
    my $name   = $fault->{name} // q{};
    my $denied = $fault->{code} eq 'RIGHTS';
    $name = $denied ? 'store.owner' : 'store.unusable'
        if !length $name || ( $denied && $name =~ /folder/ );
    return $self->_store_fault( $name, $fault->{place}, _text_of($fault), $fault->{remedy} // q{} );
}

# Of the way to the folder one part at most may be missing.
sub _look_where_store_comes {
    my ( $self, $folder ) = @_;
    my $parent = _folder_of($folder);
    $parent = _folder_of($parent) if !-e $parent;
    if ( !-d $parent ) {
        $self->_error(
            'store.no-folder', $folder,
            "can't be made: $parent is not there",
            'create the folder, mode 0700, for the user of the gateway'
        );
    }
    elsif ( !-w $parent || !-x _ ) {
        return $self->_store_fault(
            'store.owner', $folder,
            "does not exist, and can't be made by this user",
            'create it, mode 0700, for the user of the gateway, and call as that user'
        );
    }
    else {
        $self->_sound("$folder does not exist yet: the first login makes it");
    }
    return 1;
}

sub _look_at_volatile {
    my ($self) = @_;
    my ( $folder, $store ) = ( $self->_setting('volatile_dir'), $self->_store );
    my @store = stat $store;
    my ( $device, $inode, $mode, undef, $uid ) = lstat $folder;
    return if !defined $mode;
    my ( $name, $text, $remedy ) =
        !-d _ ? ( 'kind', 'is no folder', 'remove it' )
        : $device == $store[0] && $inode == $store[1]
        ? ( 'same', q{is the store's own folder}, 'set volatile_dir to another one' )
        : $uid != $store[4] ? ( 'owner', 'does not belong to the owner of the store', 'chown it' )
        : $mode & $OTHERS   ? ( 'mode',  'is open to group or others', 'chmod 0700 it' )
        :                     return;
    $self->_error( "volatile.$name", $folder, $text, $remedy );
    return;
}

sub _judge_store {
    my ( $self, $folder, $report ) = @_;
    $self->_warning(
        'store.space', $folder,
        sprintf( 'its file system has %.1f MB left', $report->{free} / 1e6 ),
        'make room: without space nobody can log in'
    ) if $report->{free} < $SPACE;
    $self->_warning(
        'store.readers', $folder,
        "$report->{readers} of $report->{readers_max} processes may have it open",
        'find out why so many processes log in'
    ) if $report->{readers} > 0.9 * $report->{readers_max};
    $self->_warning(
        'store.stale-reader',
        $folder,
        "process $report->{behind_pid} keeps an old state, $report->{behind} commits ago: meanwhile"
            . ' no space is used again, and the file grows',
        'end that process, if it was stopped or hangs'
    ) if $report->{behind} > $BEHIND;
    $self->_sound(
        sprintf 'the store and its key: %s, %.0f MB free, %d readers',
        $folder, $report->{free} / 1e6,
        $report->{readers}
    );
    return;
}

sub _judge_clock {
    my ( $self, $report ) = @_;
    my $clock  = $self->_setting('test_clock');
    my $now    = length $clock ? $clock : time;
    my $after  = $now - $report->{clock};
    my $remedy = 'set the clock, and keep it with NTP';
    my $place  = 'the clock';
    return $self->_error( 'clock.past', $place, 'it says ' . gmtime($now) . ' UTC: long ago',
        $remedy )
        if $now < $BUILT;
    return                                                if $report->{clock} < $BUILT;
    return $self->_sound("$place, and the last commit's") if $after >= -60 && $after < $LONG;
    return $self->_error( 'clock.behind', $place,
        'it is ' . _duration( -$after ) . ' behind that of the last commit to the store', $remedy )
        if $after < 0;
    return $self->_warning(
        'clock.ahead', $place,
        'it is ' . _duration($after) . ' ahead of that of the last commit to the store',
        "if somebody has logged in since then, $remedy"
    );
}

sub _duration {
    my ($seconds) = @_;
    return sprintf '%d days', $seconds / $DAY if $seconds >= 2 * $DAY;
    return "$seconds seconds";
}

# The gateway's socket.

# Returns whether logins through it are possible.
sub _look_at_socket {
    my ($self) = @_;
    my $path   = $self->_setting('gateway_socket');
    my $folder = _folder_of($path);
    my $before = @{ $self->{findings} };
    $self->_look_at_socket_folder($folder);
    my ( $mode, $uid ) = ( lstat $path )[ 2, 4 ];
    if ( !defined $mode ) {
        $self->_sound("no gateway at $path");
        return 0;
    }
    if ( !-S _ ) {
        $self->_error( 'socket.kind', $path, 'is no socket', 'remove it' );
        return 0;
    }
    $self->_error(
        'socket.owner', $path,
        'belongs to ' . _name_of($uid) . ': neither to root nor to the owner of the store',
        'find out who listens there'
    ) if !$self->_is_trusted($uid);
    my $peer = IO::Socket::UNIX->new( Peer => $path );
    if ( !$peer && $!{EACCES} ) {
        $self->_warning(
            'socket.denied', $path,
            "this user may not connect: $!",
            'chmod 0666 the socket, and 0755 its folder'
        );
    }
    elsif ( !$peer ) {
        $self->_warning( 'socket.dead', $path, "nobody answers: $!", 'start logmein serve' );
    }
    $self->_warning(
        'socket.mode', $path,
        sprintf( 'its mode is %04o: not every local program may log in there', $mode & oct 7777 ),
        'chmod 0666 it, or restart the gateway'
    ) if ( $mode & oct 666 ) != oct 666;
    return 0 if @{ $self->{findings} } > $before;
    $self->_sound("the gateway at $path, for all local users");
    return 1;
}

sub _is_trusted {
    my ( $self, $uid ) = @_;
    return $uid == 0 || $uid == ( $self->{owner} // $> );
}

sub _look_at_socket_folder {
    my ( $self, $folder ) = @_;
    my ( $mode, $uid )    = ( stat $folder )[ 2, 4 ];
    return if !defined $mode;
    $self->_error( 'socket.folder-owner', $folder,
        'belongs to ' . _name_of($uid) . ': neither to root nor to the owner of the store',
        'chown it' )
        if !$self->_is_trusted($uid);
    $self->_error(
        'socket.folder-mode', $folder,
        'others can put a socket there, and passwords would be sent to it',
        'chmod go-w it'
    ) if $mode & $WRITE;
    return;
}

# Names.

# undef if that can't be known.
sub _serves {
    my ( $self, $host ) = @_;
    return eval { $self->{sessions}->serves($host) };
}

sub _look_at_names {
    my ($self) = @_;
    return if $self->_setting('backend') ne 'auto';
    my @hosts  = @{ $self->{option}{host} // [] };
    my $remedy = 'add it to the setting domains';
    for my $host (@hosts) {
        my $serves = $self->_serves($host);
        if ( !defined $serves ) {
            my ( $place, $text, $help ) = _split_detail($Cpanel::LogMeIn::detail);
            $self->_error( 'names.undecided', "$host, $place", $text, $help || $remedy );
        }
        elsif ( !$serves ) {
            $self->_error(
                'names.unknown',
                $host,
                'is no known name of this machine: DNS is asked for it, and the password is sent'
                    . ' there',
                $remedy
            );
        }
    }
    return if @hosts || $self->_knows_a_name;
    $self->_warning(
        'names.none',
        "$self->{conf}, domains",
        'no public name of this machine is known: a login for one is sent to where DNS leads',
        'name the hosts of the login URLs in domains'
    );
    return;
}

# Any name but localhost and the like. The machine's own one is public if it has a dot.
sub _knows_a_name {
    my ($self) = @_;
    return 1 if length $self->_setting('domains');
    require Sys::Hostname;
    return 1 if Sys::Hostname::hostname() =~ /[.]/;
    return 0 if $self->_setting('site_hostnames') ne 'yes';
    my $root = $self->_setting('site_root') =~ s{/\z}{}r;
    return scalar grep { /\A[^*#]/ } map { _lines("$root/etc/$_") } qw(userdomains localdomains);
}

# The log.

sub _look_at_log {
    my ($self) = @_;
    my $log = $self->_setting('log');
    return $self->_warning(
        'log.none',
        "$self->{conf}, log",
        'nothing is logged',
        'set log = syslog, file or stderr'
    ) if $log eq 'none';
    my ($path) = $log =~ /\Afile:(.*)/s;
    $self->_look_at_log_file($path) if defined $path;

    # Root would make the file its own, if it is not known yet for whom.
    return if defined $path && !-e $path && $> == 0 && !defined $self->{owner};
    $self->{line} = sprintf 'logmein doctor, process %d at %d', $$, time;
    return $self->_sound("the log: $log") if $self->{sessions}->try_log( $self->{line} );
    delete $self->{line};
    my ( $place, $text, $remedy ) = _split_detail($Cpanel::LogMeIn::detail);
    return $self->_error( 'log.' . ( $log =~ /\A(\w+)/ )[0],
        $place, $text, $remedy || 'correct it, or set log to another place' );
}

sub _look_at_log_file {
    my ( $self, $path ) = @_;
    my $folder = _folder_of($path);
    my ( $mode, $uid ) = ( stat $folder )[ 2, 4 ];
    $self->_warning(
        'log.folder-mode', $folder,
        'others can remove the log, and put another file in its place',
        'chmod go-w it'
    ) if defined $mode && $mode & $WRITE && !( $mode & oct 1000 );
    ($mode) = ( lstat $path )[2];
    $self->_warning(
        'log.mode', $path,
        'every user of this machine can read it',
        'chmod o= it: names and addresses are in it'
    ) if defined $mode && -f _ && $mode & oct 7;
    my $owner = $self->{owner} // return;
    return if $> != 0 || $owner == 0;
    my $place = -e $path ? $path : $folder;
    $self->_error( 'log.owner', $place,
        'the owner of the store, ' . _name_of($owner) . q{, can't write it, other than root},
        'chown it' )
        if !_may_write( $owner, $place );
    return;
}

# May that user write there? Only root can ask for others.
sub _may_write {
    my ( $uid, $path ) = @_;
    my $group = ( getpwuid $uid )[3] // $uid;
    ## no critic (RequireLocalizedPunctuationVars)
    local $) = "$group $group";
    local $> = $uid;
    return -w $path;
}

# fail2ban, as its own program reads the configuration.

sub _look_at_fail2ban {
    my ($self)    = @_;
    my $folder    = $self->{option}{fail2ban} // $FAIL2BAN;
    my ($program) = grep { -x } map { "$_/fail2ban-client" } split /:/, $ENV{PATH} // q{};
    return if !$program || !-r $folder || !_names_jail($folder);
    my @dump      = _output_of( $program, '-c', $folder, '-d' );
    my ($backend) = map { /\A\['add', 'logmein', '([^']*)'/ ? $1 : () } @dump;
    my @paths     = map { /\A\['set', 'logmein', 'addlogpath', '([^']*)'/ ? $1 : () } @dump;
    return $self->_judge_jail( "$folder, jail logmein", $backend, @paths );
}

sub _names_jail {
    my ($folder) = @_;
    return scalar grep { /\A\s*\[logmein\]/ }
        map { _lines($_) } glob "$folder/jail.conf $folder/jail.local $folder/jail.d/*";
}

# The lines that a program prints; what it complains of is not shown.
sub _output_of {
    my (@command) = @_;
    my $pid = open( my $out, '-|' ) // die "fork: $!\n";
    if ( !$pid ) {
        open STDERR, '>', '/dev/null' or exit 127;
        exec { $command[0] } @command or exit 127;
    }
    my @lines = readline $out;
    close $out;    # its status does not matter
    return @lines;
}

sub _judge_jail {
    my ( $self, $place, $backend, @paths ) = @_;
    my $log    = $self->_setting('log');
    my $remedy = 'see examples/fail2ban/jail.conf';
    return $self->_error( 'fail2ban.no-jail', $place,
        'fail2ban does not start it: its filter or its log is missing, or it is not enabled',
        $remedy )
        if !defined $backend || ( $backend !~ /systemd/ && !@paths );
    my ($path) = $log =~ /\Afile:(.*)/s;
    my $reads = $backend =~ /systemd/ ? 'the journal' : "@paths";
    my $good =
          $backend =~ /systemd/ ? !defined $path && $log ne 'none'
        : defined $path         ? grep { $_ eq $path } @paths
        : $log eq 'syslog'      ? !defined $self->{line} || grep { $self->_has_line($_) } @paths
        :                         0;
    return $self->_error( 'fail2ban.other-log', $place,
        "it reads $reads, but the log goes elsewhere: log = $log", $remedy )
        if !$good;
    return $self->_error( 'fail2ban.no-journal', $place,
        'it reads the journal, and there is none on this machine', $remedy )
        if $backend =~ /systemd/ && !-e '/run/systemd/journal/socket';
    return $self->_sound("fail2ban reads $reads");
}

# Has the line that was logged arrived in a syslog daemon's file? What may not be read
# is believed.
sub _has_line {
    my ( $self, $path ) = @_;
    for ( 1 .. 20 ) {
        open my $file, '<', $path or return $!{EACCES};
        seek $file, -65_536, 2 if -s $file > 65_536;
        return 1 if grep { index( $_, $self->{line} ) >= 0 } readline $file;
        select undef, undef, undef, 0.05;    ## no critic (ProhibitSleepViaSelect)
    }
    return 0;
}

# Ports.

# Of each port that somebody listens at: the user, and the sockets.
sub _listening {
    my %listening;
    for my $line ( map { _lines($_) } '/proc/net/tcp', '/proc/net/tcp6' ) {
        my ( $port, $uid, $inode ) =
            $line =~ /:([0-9A-F]{4}) [0-9A-F]+:0000 0A (?:\S+\s+){3}([0-9]+)\s+[0-9]+ ([0-9]+)/
            or next;
        push @{ $listening{ hex $port } }, { uid => $uid, inode => $inode };
    }
    return \%listening;
}

# The command lines of the processes that have these sockets open, as far as this user
# may know.
sub _holders {
    my (@inodes) = @_;
    my %wanted = map { ( "socket:[$_]" => 1 ) } @inodes;
    my %holders;
    for my $descriptor ( glob '/proc/[0-9]*/fd/[0-9]*' ) {
        my $target = readlink $descriptor // next;
        next if !$wanted{$target};
        my ($pid)  = $descriptor =~ m{/proc/([0-9]+)/};
        my ($line) = _lines("/proc/$pid/cmdline");
        $holders{$pid} = ( $line // q{?} ) =~ s/\0+/ /gr;
    }
    return \%holders;
}

sub _look_at_ports {
    my ($self) = @_;
    my $listening = _listening();
    for my $service ( Cpanel::LogMeIn::services() ) {
        my $port    = $self->_setting("port.$service->{name}");
        my $sockets = $listening->{$port} // next;
        my $holders = _holders( map { $_->{inode} } @{$sockets} );
        my ($other) =
            grep { $holders->{$_} !~ $SERVERS } sort { $a <=> $b } keys %{$holders};
        my ($stranger) = %{$holders} ? () : grep { !$self->_is_trusted( $_->{uid} ) } @{$sockets};
        my ($program)  = defined $other ? split q{ }, $holders->{$other} : ();
        $self->_error(
            'ports.taken',
            "port $port",
            "the port of $service->{name} is used by "
                . (
                defined $other ? "process $other, $program" : 'user ' . _name_of( $stranger->{uid} )
                ),
            'stop it, or set another port.' . $service->{name}
        ) if defined $other || $stranger;
    }
    return;
}

# The certificate.

sub _look_at_certificate {
    my ($self) = @_;
    my ( $file, $key ) = @{ $self->{option} }{qw(cert key)};
    eval { require IO::Socket::SSL::Utils; require Net::SSLeay; 1 }
        or die "IO::Socket::SSL is missing: install libio-socket-ssl-perl (Debian).\n";
    my $certificate = eval { IO::Socket::SSL::Utils::PEM_file2cert($file) };
    return $self->_error(
        'certificate.unreadable', $file,
        -r $file ? 'holds no certificate in PEM form' : "can't be read: $!",
        'name the file with the certificate and its chain'
    ) if !$certificate;
    my $facts = IO::Socket::SSL::Utils::CERT_asHash($certificate);
    IO::Socket::SSL::Utils::CERT_free($certificate);
    $self->_judge_period( $file, $facts );
    $self->_judge_names( $file, $facts );
    $self->_judge_key( $file, $key ) if defined $key;
    return;
}

sub _judge_period {
    my ( $self, $file, $facts ) = @_;
    my ( $from, $to ) = @{$facts}{qw(not_before not_after)};
    my $end = gmtime($to) . ' UTC';
    return $self->_error(
        'certificate.not-yet', $file,
        'is valid from ' . gmtime($from) . ' UTC on',
        'set the clock, or use another certificate'
    ) if $from > time;
    return $self->_error( 'certificate.expired', $file, "expired $end", 'renew it' ) if $to < time;
    return $self->_warning( 'certificate.expires', $file, "expires $end",
        'renew it, then send SIGHUP to logmein serve' )
        if $to < time + $SOON;
    return $self->_sound("the certificate $file, until $end");
}

# *.example is for one more label.
sub _covers {
    my ( $name, $host ) = @_;
    return $name eq $host if $name !~ s/\A[*]//;
    return $host =~ /\A[^.]+\Q$name\E\z/;
}

# Each name that it is made for should be known here, and each known one be in it.
sub _judge_names {
    my ( $self, $file, $facts ) = @_;
    my @names = map { lc $_->[1] } grep { $_->[0] eq 'DNS' } @{ $facts->{subjectAltNames} // [] };
    push @names, lc $facts->{subject}{commonName}
        if !@names && defined $facts->{subject}{commonName};
    for my $host ( @{ $self->{option}{host} // [] }, split q{ }, $self->_setting('domains') ) {
        next if grep { _covers( $_, lc $host ) } @names;
        $self->_error(
            'certificate.name', $file,
            "is not made for $host: browsers refuse it",
            "get one for all of your names, or take $host out of domains"
        );
    }
    return if $self->_setting('backend') ne 'auto';
    for my $name ( grep { !/[*]/ && $_ ne 'localhost' } @names ) {
        next if $self->_serves($name) // 1;
        $self->_warning(
            'certificate.unknown-name',
            $file,
            "is made for $name, which is no known name of this machine: a login for it is sent to"
                . ' where DNS leads',
            'add it to the setting domains'
        );
    }
    return;
}

sub _judge_key {
    my ( $self, $file, $key ) = @_;
    return $self->_error(
        'certificate.key-unreadable', $key,
        "can't be read: $!",
        'let the user of the gateway read it'
    ) if !-e $key || !open my $opened, '<', $key;
    $self->_warning(
        'certificate.key-mode', $key,
        'every user of this machine can read it',
        'chmod o= it, and renew certificate and key'
    ) if ( stat $key )[2] & oct 7;
    my $context = Net::SSLeay::CTX_new();
    my $good =
           Net::SSLeay::CTX_use_certificate_chain_file( $context, $file )
        && Net::SSLeay::CTX_use_PrivateKey_file( $context, $key, Net::SSLeay::FILETYPE_PEM() )
        && Net::SSLeay::CTX_check_private_key($context);
    Net::SSLeay::ERR_clear_error();
    Net::SSLeay::CTX_free($context);
    $self->_error(
        'certificate.key-other', $key,
        "is not the key of $file",
        'name the key that belongs to the certificate'
    ) if !$good;
    return;
}

# What is printed.

sub _print {
    my ($self) = @_;
    return                    if $self->{option}{quiet};
    return $self->_print_json if $self->{option}{json};
    return $self->_print_text;
}

sub _print_json {
    my ($self) = @_;
    my @list;
    for my $finding ( @{ $self->{findings} } ) {
        push @list, { map { $_ => "$finding->{$_}" } qw(name level place text remedy) };
    }
    print_json( \@list );
    return;
}

sub _print_text {
    my ($self) = @_;
    my %colour = ( error => 31, warning => 33 );
    my %count  = ( error => 0,  warning => 0 );
    for my $finding ( @{ $self->{findings} } ) {
        my $level = $finding->{level};
        $count{$level}++;
        print coloured( $level, $colour{$level} ), " $finding->{name}\n";
        my $text = join ': ', grep { length } @{$finding}{qw(place text)};
        print paragraph( "$text.",                      q{    } );
        print paragraph( ucfirst "$finding->{remedy}.", q{    } ) if length $finding->{remedy};
    }
    if ( $self->{option}{verbose} ) {
        print paragraph( "sound: $_", q{} ) for @{ $self->{sound} };
    }
    print @{ $self->{findings} }
        ? "Errors: $count{error}, warnings: $count{warning}\n"
        : "Nothing wrong was found.\n";
    return;
}

1;

__END__

=head1 NAME

logmein-doctor - find what is wrong with a site

=head1 SYNOPSIS

    logmein doctor
    logmein doctor --config new.conf --host panel.example --cert cert.pem

=head1 DESCRIPTION

Looks for what is wrong, and prints each finding with its name, its place, and what to
do. The exit status is 0 if all is sound, 1 after a finding, 3 if it could not look,
for example because the settings file can't be read. Run it as root, and as the user of
the gateway, with the rights of the unit:

    setpriv --reuid=logmein --regid=logmein --init-groups \
        --inh-caps=+dac_read_search --ambient-caps=+dac_read_search logmein doctor

As another user, such as C<www-data>, it tells whether that user can log in: in the
process itself, or through the gateway's socket.

Nothing is changed, except that a line is written to the log, to see that it arrives. A
store that does not exist is not created.

Machines that share a store in PostgreSQL must have the same account files, or an account
is another one, or none, where the next request happens to go. C<doctor> notes in the store
what the files of this machine say: as MACs with the store's key, which tell nothing
without it. It compares that with the notes of the other machines: run it on each of them
after a change, for a note stays as it is until then. Compared is what decides who may log
in: names, homes, shells and password hashes of the accounts and of root, of the mailboxes
of the first 1,000 domains, owners of domains, resellers, suspended accounts, and the names
in F<var/cpanel/users> or the lines of F<etc/shells>, whichever decides. The order of lines,
comments, system users and F<etc/localdomains> may differ.

=head1 OPTIONS

=over 4

=item C<--config FILE>

The settings file to look at, before it is put in place. By default the one that is in
use: see L<logmein.conf(5)>.

=item C<--host NAME>

A host name of the login URLs, which must be known as a name of this machine, and be in
the certificate. May be given more than once. If a name is not known here, a login for
it goes to where DNS leads. Without C<--host> a warning is given if only C<localhost>
and the like are known.

=item C<--cert FILE>, C<--key FILE>

The certificate and the key of C<serve>, or of the web server in front: its names, its
end (a warning 30 days before), whether the key belongs to it. Needs IO::Socket::SSL.

=item C<--fail2ban FOLDER>

The configuration of fail2ban, by default F</etc/fail2ban>. If it has a jail C<logmein>
and F<fail2ban-client> is installed, it must read the log that is written.

=item C<--json>

Prints an array of objects, empty if all is sound. The keys are C<name>, C<level>
(C<error> or C<warning>), C<place>, C<text> and C<remedy>, all of them strings.

=item C<-q>, C<--quiet>

Prints nothing; the exit status tells.

=item C<-v>, C<--verbose>

Lists what is sound, too.

=back

=head1 FINDINGS

No finding contains a secret. Names of findings do not change between versions:

=over 4

=item C<settings.*>

C<invalid> (with file, line and key), C<test>, C<insecure>, C<proxies>,
C<proxies-all>, C<callers>, C<ports>, C<page-logo>, C<remote-ca-file>.

=item C<site.*>

C<root>; C<FILE-missing>, C<FILE-unreadable> and C<FILE-unsafe> (owner or mode) for
C<passwd>, C<shadow>, C<shells>, C<userdomains>, C<localdomains>, C<resellers> and
C<mailbox>; C<line>, a line that is ignored; C<twice>, two lines of one name;
C<domain-owner>; C<differs>, a file that is not as on another machine which shares the
store; C<more>, if there are more than 32.

=item C<accounts.*>

C<none>, and C<no-users>: no account may log in, by the rule that holds, which the
finding explains. An empty F</var/cpanel> makes F</var/cpanel/users> decide.
C<users-unreadable>.

=item C<hashes.*>

C<scheme>, C<cost> and C<form>: a hash that is refused. C<mixed>: several schemes or
costs, which the response time tells apart.

=item C<names.*>

C<none>, C<unknown>, C<undecided>.

=item C<log.*>

C<file>, C<syslog>, C<stderr>: a line could not be written, or read back. C<none>,
C<mode>, C<folder-mode>, C<owner>.

=item C<store.*>, C<volatile.*>

C<owner>, C<mode>, C<no-folder>, C<file-owner>, C<file-mode>, C<file-kind>, C<links>,
C<damaged>, C<unusable>, C<space>, C<read-only>, C<readers>, C<stale-reader>, C<moved> (by
L<logmein-store(8)>), C<unfinished> (a copy or restoration); of the volatile part C<kind>, C<same>, C<owner>, C<mode>.
Of a database C<away> (no server can be connected to), C<none> (C<logmein store init> has
not been run), C<alone> (no majority of its machines
acknowledges what it commits), C<fsync>, C<clock> (more than five
seconds apart), C<unknown> (no answer within two seconds), C<slow> (a majority
takes more than a quarter of a second to acknowledge), C<library> (built without libpq).

=item C<key.*>

C<missing>, C<other> (not the store's), C<owner>, C<mode>, C<size>, C<links>,
C<folder>, C<old-missing>, C<unusable>.

=item C<clock.*>

C<behind> or C<ahead> of the last commit to the store, C<past>.

=item C<socket.*>

C<kind>, C<owner>, C<mode>, C<denied>, C<dead>, C<folder-owner>, C<folder-mode>.

=item C<ports.taken>

A login URL's port is used by a program that is neither this gateway nor a known web
server.

=item C<certificate.*>

C<unreadable>, C<expired>, C<expires>, C<not-yet>, C<name>, C<unknown-name>,
C<key-unreadable>, C<key-mode>, C<key-other>.

=item C<fail2ban.*>

C<no-jail>, C<other-log>, C<no-journal>.

=back

=head1 EXIT STATUS

0 if all is sound, 1 if something was found, 2 for wrong usage, 3 if it could not look.

=head1 SEE ALSO

L<logmein(1)>, L<logmein-config(8)>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
