#!/usr/bin/perl

# The settings file: every key with valid and invalid values, and the error messages.

use strict;
use warnings;
use lib 't/lib';
use SettingsFile qw(forget_settings settle write_settings_file);
use Test::More;
use Test::Cpanel::LogMeIn;
use Cpanel::LogMeIn::Session ();

my $site  = Test::Cpanel::LogMeIn->new;
my $FAULT = 'Logins are not possible at the moment (SETTINGS).';

my %keys = (
    backend        => [ [qw(auto local)], [ 'here',     '',     'AUTO' ] ],
    site_root      => [ [],               [ 'relative', '',     '/' . 'x' x 255 ] ],
    accounts       => [ ['cpanel'],       [ 'unset',    'both', '' ] ],
    domains        => [ [ '', 'a b' ],    [] ],
    site_hostnames => [ [qw(yes no)],     [ 'true', '' ] ],
    store          => [ [],               [ '/path', 'lmdb:', 'lmdb:x', 'mysql://x', '' ] ],
    volatile_dir   => [ [],               [ 'x', '' ] ],
    key_file       => [ [],               [ 'x', '' ] ],
    key_file_old   => [ [],               [ 'x', '' ] ],
    session_idle                => [ [ 60, 86_400 ],       [ 59, 86_401, '15m', '-1', '' ] ],
    session_max                 => [ [ 60, 2_592_000 ],    [ 0, 2_592_001, '1e3' ] ],
    sessions_max                => [ [ 1, 10_000 ],        [ 0, 10_001, '' ] ],
    ticket_life                 => [ [ 5, 86_400 ],        [ 4, 86_401, '5s' ] ],
    login_url                   => [ [qw(direct login)],   [ '', 'both' ] ],
    'port.cpanel'               => [ [ 1, 65_535 ],        [ 0, 65_536, 'https' ] ],
    'port.whm'                  => [ [443],                [0] ],
    'port.webmail'              => [ [443],                [99_999_999_999_999_999_999] ],
    cookie_prefix               => [ ['__Host-'],          [] ],
    attempts_max                => [ [100],                [ 0, 'x' ] ],
    gateway_socket              => [ ['/run/x'],           ['x'] ],
    socket_callers              => [ [ '', 'www-data x' ], [] ],
    trusted_proxies             => [ ['192.0.2.1'],        [] ],
    login_by_get                => [ [qw(yes no)],         [ 'maybe', '' ] ],
    failurl_hosts               => [ ['x.example y:8443'], [] ],
    hsts                        => [ [ 'no', 31_536_000 ], [ 'yes', 0 ] ],
    test_clock                  => [ [1_700_000_000],      [ 'now', -1, '' ] ],
    test_fault                  => [ ['none'],             ['fire'] ],
    remote_hosts                => [ ['*.example'],        [] ],
    remote_ca_file              => [ ['/x'],               ['x'] ],
    remote_proxy                => [ ['x:3128'],           [] ],
    remote_timeout              => [ [ 1, 300 ],           [ 0, 301 ] ],
    remote_forward_to           => [ ['x'],                [] ],
    insecure_remote_skip_verify => [ [qw(yes no)],         ['maybe'] ],
    log               => [ [qw(none syslog)], [ 'files', 'file:x', 'stdout', 'journal', '' ] ],
    log_format        => [ [qw(text json)],   [ 'xml', '' ] ],
    log_unknown_users => [ [qw(yes no)],      [1] ],
    page_title        => [ ['A = B # C'],     [] ],
    page_logo         => [ ['x'],             [] ],
    page_footer       => [ ['x'],             [] ],
);

for my $key ( sort keys %keys ) {
    my ( $good, $bad ) = @{ $keys{$key} };
    for my $value ( @{$good} ) {
        $site->write_settings( $key => $value );
        is( ( $site->login )[1], 'Login OK', "$key = $value" ) or diag($Cpanel::LogMeIn::detail);
    }
    for my $value ( @{$bad} ) {
        forget_settings($site);
        $site->write_settings( $key => $value );
        is( ( $site->login )[1], $FAULT, "$key = $value is refused" );
        like(
            $Cpanel::LogMeIn::detail,
            qr/\Q$site->{conf}\E line [0-9]+, \Q$key\E: must /,
            '... and $detail names file, line, key and rule'
        );
    }
}

# The manual documents the same keys.
open my $pod, '<', $INC{'Cpanel/LogMeIn.pm'} =~ s/[.]pm\z/\/Settings.pod/r or die $!;
my $manual = do { local $/ = undef; readline $pod };
is_deeply( [ grep { $manual !~ /^=item C<\Q$_\E>/m } sort keys %keys ],
    [], 'the manual names every key' );

sub with_text {
    my ($text) = @_;
    forget_settings($site);
    open my $file, '<', $site->{conf} or die $!;
    write_settings_file( $site->{conf}, join( '', readline $file ) . $text );
    return ( $site->login )[1];
}
is( with_text("# a comment\n\n  \t\n  # another\n"), 'Login OK', 'comments and empty lines' );
is( with_text("  session_idle\t=  60  \n"),          'Login OK', 'blanks around' );
is( with_text("session_idle = 60"),                  'Login OK', 'no newline at the end' );
for my $case (
    [ "colour = blue\n",                        qr/unknown key/ ],
    [ "session_idle = 60\nsession_idle = 60\n", qr/twice/ ],
    [ "session_idle\n",                         qr/key = value/ ],
    [ "session_idle = 60\r\n",                  qr/control byte/ ],
    [ "page_title = a\0b\n",                    qr/control byte/ ],
    [ '#' x 70_000,                             qr/too large/ ],
    )
{
    my ( $text, $why ) = @{$case};
    is( with_text($text), $FAULT, "refused: $why" );
    like( $Cpanel::LogMeIn::detail, $why, '... and said why' );
}

# A file that others can write to is refused.
forget_settings($site);
chmod 0666, $site->{conf} or die $!;
is( ( $site->login )[1], $FAULT, 'a file that others can write' );
chmod 0644, $site->{conf} or die $!;
is( ( $site->login )[1], 'Login OK', 'control: no longer' );

{
    local $ENV{LOGMEIN_CONF} = "$site->{dir}/nothing";
    is( ( $site->login )[1], $FAULT, 'LOGMEIN_CONF names nothing: not the defaults' );
}
for my $root ( '/', '//', '/.', '/tmp/..' ) {
    forget_settings($site);
    $site->write_settings( site_root => $root, test_clock => 1_700_000_000 );
    is( ( $site->login )[1], $FAULT, "test_clock is refused on the real accounts ($root)" );
}

# A process with good settings keeps them while the file is not in order.
forget_settings($site);

sub logged_faults {
    return grep { /info FAULT/ } split /\n/, $site->log_text;
}

sub page_title { my %setting = Cpanel::LogMeIn::settings(); return $setting{page_title} }
$site->write_settings( page_title => 'good' );
is( page_title(), 'good', 'the file is read' );
unlink "$site->{dir}/log";
for my $text ( "page_title = bad\ncolour = blue\n", "page_title = bad\0\n", "page_title\n" ) {
    write_settings_file( $site->{conf}, $text );
    is( page_title(),        'good',     'a bad file changes nothing' );
    is( ( $site->login )[1], 'Login OK', '... and logins go on' );
}
is( scalar( my @faults = logged_faults() ), 1, '... and it is logged once a minute' );
like(
    ( logged_faults() )[0],
    qr/FAULT \Q$site->{conf}\E line 2: names an unknown key/,
    '... with file and line'
);
unlink $site->{conf} or die $!;
is( page_title(), 'good', 'a missing file changes nothing, for it might be all defaults' );
$site->write_settings( page_title => 'young' );
utime undef, undef, $site->{conf};
is( page_title(), 'good', 'a file that is being written changes nothing' );
$site->write_settings( page_title => 'older' );
is( page_title(), 'older', 'control: an older one does' );
my $pinned = Cpanel::LogMeIn::Session->new;
is( $pinned->setting('page_title'), 'older', 'an object reads the settings' );
$site->write_settings( page_title => 'later' );
is( $pinned->setting('page_title'), 'older', '... once' );
is( page_title(),                   'later', 'control: functions follow' );
ok( !eval { $pinned->setting('colour'); 1 }, 'an unknown setting is an exception' );

# What was read from a young file is read again, should it have changed unseen.
forget_settings($site);
$site->write_settings( page_title => 'one' );
utime undef, undef, $site->{conf};
is( page_title(), 'one', 'a process that starts reads a young file' );
my @times = ( stat $site->{conf} )[ 8, 9 ];
open my $in_place, '+<', $site->{conf} or die $!;
my $text = do { local $/ = undef; readline $in_place };
$text =~ s/one/two/;
seek $in_place, 0, 0;
print {$in_place} $text;
close $in_place or die $!;
settle( $site->{conf} );
is( page_title(), 'two', '... and again when it is older' );
done_testing();
