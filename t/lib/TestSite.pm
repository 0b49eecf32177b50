package TestSite;

# A throw-away site in cPanel's layout, with a store of its own, for the tests
# of this distribution. LOGMEIN_CONF names its settings while it lives.

use strict;
use warnings;
use Cpanel::LogMeIn ();
use File::Path      qw(make_path remove_tree);
use File::Temp      qw(tempdir);
use POSIX           ();

# Cheap, or hundreds of logins would take minutes.
my %hashes;

sub hash_of {
    my ($password) = @_;
    return $hashes{$password} //= Cpanel::LogMeIn::hash_password( $password, '$5$', 1000 );
}

# accounts: name => password, or name => { shadow line's fields }. A name with
# an @ is a mailbox, which needs its domain in `domains`.
sub new {
    my ( $class, %given ) = @_;
    my $self = bless {
        dir       => tempdir( 'logmein-XXXXXX', TMPDIR => 1, CLEANUP => 1 ),
        accounts  => { alice           => 'secret' },
        domains   => { 'alice.example' => 'alice' },
        resellers => [],
        settings  => {},
        pid       => $$,
        %given,
    }, $class;
    $self->write_site;
    $self->write_settings;
    return $self;
}

sub dir  { my ($self) = @_; return $self->{dir} }
sub root { my ($self) = @_; return "$self->{dir}/site" }

sub path {
    my ( $self, $name ) = @_;
    return $self->root . "/$name";
}

sub write_file {
    my ( $self, $path, $text, $mode ) = @_;
    my ($folder) = $path =~ m{\A(.*)/}s;
    make_path($folder);
    unlink $path;
    open my $file, '>', $path or die "$path: $!";
    print {$file} $text;
    close $file or die "$path: $!";
    chmod $mode // oct 644, $path or die "$path: $!";
    return;
}

sub shadow_line {
    my ( $name, $account ) = @_;
    my %field = ref $account ? %{$account} : ( password => $account );
    my $hash  = $field{hash} // hash_of( $field{password} );
    return join( ':',
        $name, $hash, $field{changed} // 19000,
        0, $field{max} // 99999,
        7, '', $field{expires} // '', '' )
        . "\n";
}

sub write_site {
    my ($self)   = @_;
    my %accounts = %{ $self->{accounts} };
    my @system   = grep { !/@/ } sort keys %accounts;
    my $uid      = $<;
    my $passwd   = '';
    my $next_uid = 1001;
    for my $name (@system) {

        # Homes must belong to their accounts, which only root can arrange.
        my $own = $name eq 'root' ? 0 : $uid || $next_uid++;
        $passwd .= "$name:x:${own}:${own}::/home/$name:/bin/bash\n";
        make_path( $self->path("home/$name") );
        chown $own, -1, $self->path("home/$name") if !$uid;
        $self->{uid}{$name} = $own;
        next if $name eq 'root' || ref $accounts{$name} && $accounts{$name}{not_cpanel};
        $self->write_file( $self->path("var/cpanel/users/$name"), "USER=$name\n" );
    }
    $self->write_file( $self->path('etc/passwd'), $passwd );
    $self->write_file(
        $self->path('etc/shadow'),
        join( '', map { shadow_line( $_, $accounts{$_} ) } @system ),
        oct 640
    );
    $self->write_file( $self->path('etc/shells'), "/bin/sh\n/bin/bash\n" );
    $self->write_file( $self->path('etc/userdomains'),
        join( '', map { "$_: $self->{domains}{$_}\n" } sort keys %{ $self->{domains} } )
            . "*: nobody\n" );
    $self->write_file( $self->path('etc/localdomains'), "host.example\n" );
    $self->write_file( $self->path('var/cpanel/resellers'),
        join( '', map { "$_:all\n" } @{ $self->{resellers} } ) );
    make_path( $self->path('var/cpanel/suspended') );
    $self->write_mailboxes;
    return;
}

sub write_mailboxes {
    my ($self) = @_;
    my %lines;
    for my $address ( sort grep { /@/ } keys %{ $self->{accounts} } ) {
        my ( $name, $domain ) = split /@/, $address;
        $lines{$domain} .= shadow_line( $name, $self->{accounts}{$address} );
    }
    for my $domain ( sort keys %lines ) {
        my $path = $self->mail_shadow($domain);
        $self->write_file( $path, $lines{$domain}, oct 640 );
        my $owner = $self->{uid}{ $self->{domains}{$domain} };
        chown $owner, -1, $path if !$<;
    }
    return;
}

sub mail_shadow {
    my ( $self, $domain ) = @_;
    return $self->path("home/$self->{domains}{$domain}/etc/$domain/shadow");
}

sub write_settings {
    my ( $self, %more ) = @_;
    my %settings = (
        site_root => $self->root,
        store     => "lmdb:$self->{dir}/store",
        log       => "file:$self->{dir}/log",
        %{ $self->{settings} }, %more,
    );
    $self->{conf} = "$self->{dir}/logmein.conf";
    $self->write_file( $self->{conf}, join '',
        map { "$_ = $settings{$_}\n" } grep { defined $settings{$_} } sort keys %settings );
    $ENV{LOGMEIN_CONF} = $self->{conf};    ## no critic (RequireLocalizedPunctuationVars)
    return;
}

# The documented call, with what most tests want filled in. A refusal is
# forgotten, or the waits would get in the way; `waits` keeps them.
sub login {
    my ( $self, %given ) = @_;
    my @answer = Cpanel::LogMeIn::get_loggedin_url(
        user     => 'alice',
        pass     => 'secret',
        hostname => 'localhost',
        service  => 'cpanel',
        goto_uri => '/',
        %given,
    );
    $self->forget if !$answer[0] && !$self->{waits};
    return wantarray ? @answer : $answer[0];
}

# Loses the volatile part of the store, failed logins among it.
sub forget {
    my ($self) = @_;
    remove_tree("$self->{dir}/store/volatile");
    return;
}

# Ticket and token of a login URL of either form.
sub parse_url {
    my ($url)    = @_;
    my ($token)  = $url =~ m{\Ahttps://[^/]+(/cpsess[0-9]{10})/};
    my ($ticket) = $url =~ m{[?&]session=(lmt_[A-Za-z0-9_-]{43})(?:[&#]|\z)};
    return ( $ticket, $token );
}

# What the URL opens: the session with its cookie, or undef; and the reason.
sub redeem {
    my ( $self, $url, $service ) = @_;
    my ( $ticket, $token ) = parse_url($url);
    return Cpanel::LogMeIn::Session->redeem(
        ticket  => $ticket,
        token   => $token,
        service => $service // 'cpanel',
    );
}

# What the job returns, when a process of its own does it.
sub in_child {
    my ($job) = @_;
    my $pid = open( my $out, '-|' ) // die "fork: $!";
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

sub log_text {
    my ($self) = @_;
    open my $file, '<', "$self->{dir}/log" or return '';
    local $/ = undef;
    return scalar readline $file;
}

1;
