#!/usr/bin/perl

# Which accounts may log in to which service.

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;

my $DAY  = 86_400;
my $site = Test::Cpanel::LogMeIn->new(
    accounts => {
        alice                => 'secret',
        bob                  => 'secret',
        root                 => 'secret',
        'info@alice.example' => 'secret',
    },
    resellers => ['bob'],
);

sub try_login { return $site->login(@_) }

# All refusals give the same answer.
sub refused_ok {
    my ( $name, %login ) = @_;
    is_deeply( [ try_login(%login) ], [ 0, 'The login is invalid.', undef, undef ], $name )
        or diag($Cpanel::LogMeIn::detail);
    return;
}

sub granted_ok {
    my ( $name, %login ) = @_;
    ok( ( try_login(%login) )[0], $name ) or diag($Cpanel::LogMeIn::detail);
    return;
}

my %may = (
    alice                => { cpanel  => 1, webmail => 1 },
    bob                  => { cpanel  => 1, webmail => 1, whm => 1 },
    root                 => { whm     => 1 },
    'info@alice.example' => { webmail => 1 },
    nobody               => {},
    'info@other.example' => {},
    'nix@alice.example'  => {},
);
for my $user ( sort keys %may ) {
    for my $service (qw(cpanel whm webmail)) {
        my %login = ( user => $user, service => $service );
        if ( $may{$user}{$service} ) { granted_ok( "$user may log in to $service", %login ) }
        else                         { refused_ok( "$user may not log in to $service", %login ) }
        refused_ok( "$user, $service: a wrong password", %login, pass => 'wrong' );
    }
}
granted_ok(
    'the domain of a mailbox may be in upper case',
    user    => 'info@ALICE.Example',
    service => 'webmail'
);
refused_ok( 'the name of a mailbox may not', user => 'INFO@alice.example', service => 'webmail' );
refused_ok( 'nor that of a user', user => 'ALICE' );
refused_ok(
    "the owner's password opens no mailbox of another name",
    user    => 'alice@alice.example',
    service => 'webmail'
);

# Refusals because of the account; each change is undone before the next.
my %states = (
    'a locked hash'      => { hash    => '!' . Test::Cpanel::LogMeIn::hash_of('secret') },
    'a starred hash'     => { hash    => '*' },
    'no hash'            => { hash    => '' },
    'an expired account' => { expires => 19_999 },
    'an account that expires today' => { expires => 20_000 },
    'a password to be changed'      => { changed => 0 },
    'an expired password'           => { changed => 19_000, max => 999 },
    'a date that is none'           => { expires => 'soon' },
    'a negative date'               => { expires => '-1' },
    'an overlong hash'              => { hash    => '$6$' . 'a' x 500 },
);
my %allowed = (
    'an account that expires tomorrow' => { expires => 20_001 },
    'a password on its last day'       => { changed => 19_000, max => 1000 },
    'a password changed tomorrow'      => { changed => 20_001, max => 1 },
    'no dates at all'                  => { changed => '',     max => '' },
);
$site->write_settings( test_clock => 20_000 * $DAY + 5 );

sub with_alice {
    my ($fields) = @_;
    local $site->{accounts}{alice} = { password => 'secret', %{$fields} };
    $site->write_site;
    return;
}
for my $state ( sort keys %states ) {
    with_alice( $states{$state} );
    refused_ok("$state: no cpanel");
    refused_ok( "$state: no mailbox either", user => 'info@alice.example', service => 'webmail' );
}
for my $state ( sort keys %allowed ) {
    with_alice( $allowed{$state} );
    granted_ok("$state: cpanel");
    granted_ok( "$state: and the mailbox", user => 'info@alice.example', service => 'webmail' );
}
$site->write_site;
$site->write_file( $site->path('var/cpanel/suspended/alice'), '' );
refused_ok('suspended');
refused_ok(
    "suspended: the owner of a mailbox",
    user    => 'info@alice.example',
    service => 'webmail'
);
unlink $site->path('var/cpanel/suspended/alice');
granted_ok('control: no longer suspended');

{
    local $site->{accounts}{'info@alice.example'} = { password => 'secret', expires => 1 };
    $site->write_site;
    refused_ok( 'an expired mailbox', user => 'info@alice.example', service => 'webmail' );
    granted_ok('control: its owner is not');
}

# Only the line of the requested account matters.
sub append {
    my ( $name, $text ) = @_;
    open my $file, '>>', $site->path($name) or die $!;
    print {$file} $text;
    close $file or die $!;
    return;
}
my $line = $site->shadow_line( 'alice', 'alice' );
for my $case (
    [ 'etc/shadow', "junk\n\n::::\n\0\n" . ( 'x' x 100_000 ) . "\n", 1, 'bad lines of others' ],
    [ 'etc/shadow', $line,                      0, 'a second line of her own' ],
    [ 'etc/passwd', "junk\n:::::::\n",          1, 'bad lines of others' ],
    [ 'etc/passwd', "alice:x:0:0::/:/bin/sh\n", 0, 'a second line of her own' ],
    )
{
    my ( $file, $text, $good, $what ) = @{$case};
    $site->write_site;
    append( $file, $text );
    if ($good) { granted_ok("$file: $what") }
    else {
        refused_ok("$file: $what");
        like( $Cpanel::LogMeIn::detail, qr/twice/, 'told the operator' );
    }
}
$site->write_site;
append( 'etc/userdomains', "alice.example: bob\n" );
refused_ok( 'a domain with two owners', user => 'info@alice.example', service => 'webmail' );
for my $owner ( '../alice', '-', '', 'alice bob', '.', 'alice/../bob' ) {
    local $site->{domains} = { 'alice.example' => $owner };
    $site->write_file( $site->path('etc/userdomains'), "alice.example: $owner\n" );
    refused_ok( "a domain of '$owner'", user => 'info@alice.example', service => 'webmail' );
}
$site->write_site;
refused_ok( 'the line *: is not a domain', user => 'info@*', service => 'webmail' ) if 0;
is( ( try_login( user => 'info@*', service => 'webmail' ) )[0], 0,
    'the line "*:" names no domain' );

# accounts = passwd, cpanel, or unset.
my $plain = Test::Cpanel::LogMeIn->new( accounts => { alice => 'secret', root => 'secret' } );
$site = $plain;

sub passwd_line {
    my ( $uid, $shell ) = @_;
    return "root:x:0:0::/root:/bin/bash\nalice:x:${uid}:${uid}::/home/alice:$shell\n";
}
$plain->write_settings( accounts => 'passwd' );
for my $case (
    [ 999,           '/bin/bash',         0 ],
    [ 1000,          '/bin/bash',         1 ],
    [ 59_999,        '/bin/bash',         1 ],
    [ 60_000,        '/bin/bash',         0 ],
    [ 0,             '/bin/bash',         0 ],
    [ 1000,          '/usr/sbin/nologin', 0 ],
    [ 1000,          '',                  0 ],
    [ '1000x',       '/bin/bash',         0 ],
    [ '',            '/bin/bash',         0 ],
    [ 4_294_967_296, '/bin/bash',         0 ]
    )
{
    my ( $uid, $shell, $good ) = @{$case};
    $plain->write_file( $plain->path('etc/passwd'), passwd_line( $uid, $shell ) );
    my $name = "accounts = passwd: UID '$uid', shell '$shell'";
    if   ($good) { granted_ok($name) }
    else         { refused_ok($name) }
}
refused_ok( 'accounts = passwd: never root', user => 'root' );
$plain->write_file( $plain->path('etc/passwd'), passwd_line( 0, '/bin/bash' ) );
$plain->write_settings( accounts => 'cpanel' );
refused_ok('accounts = cpanel: never UID 0');
$plain->write_file( $plain->path('etc/passwd'), passwd_line( 1000, '/bin/false' ) );
granted_ok('accounts = cpanel: the shell does not matter');
unlink $plain->path('var/cpanel/users/alice');
refused_ok('accounts = cpanel: no file in var/cpanel/users');
$plain->write_file( $plain->path('etc/passwd'), passwd_line( 1000, '/bin/bash' ) );
$plain->write_settings;
refused_ok('accounts unset: where there is a var/cpanel, it decides');
rename $plain->path('var/cpanel'), $plain->path('var/gone') or die $!;
granted_ok('accounts unset: where there is none, passwd does');

done_testing();
