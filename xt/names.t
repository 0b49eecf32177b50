#!/usr/bin/perl

# For any user name, no file outside the site, the store and the settings is opened: an
# audit of system calls.

use strict;
use warnings;
use blib;
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 'xt/lib';
use Author qw(has_program run);

plan skip_all => 'strace is not installed' if !has_program('strace');

my $site   = Test::Cpanel::LogMeIn->new( settings => { log => 'none' }, waits => 1 );
my $script = "$site->{dir}/names.pl";
$site->write_file( $script, <<'PERL' );
use strict;
use warnings;
use Cpanel::LogMeIn ();
srand 1;
my @parts = (
    '..', '.', '/', '//', '\\', '%2f', '%2e', '~', '~root', '@', '@@', '-', ':', ';', '|', '`id`', '$(id)', '*', '?',
    "\0", "\n", "\r\n", "\t", ' ', "\x{2025}", "\x{ff0f}", "\x{202e}", "\xff", 'etc/shadow', '/etc/passwd', 'proc/self',
    'alice', 'root', 'a', 'x' x 260, 'alice.example', 'C:', 'con', '%00', '..%2f', 'users', 'shadow', '_', '+', '0',
);
sub name { return join '', map { $parts[ rand @parts ] } 0 .. rand 4 }
my %login = ( pass => 'x', hostname => 'localhost' );
Cpanel::LogMeIn::get_loggedin_url( %login, user => 'alice', service => 'cpanel' );
syscall 39 for 1 .. 2;    # getpid: from here on
for my $number ( 1 .. $ARGV[0] ) {
    my $service = ( 'cpanel', 'whm', 'webmail' )[ $number % 3 ];
    for my $user ( name(), name() . '@alice.example' ) {
        my ($ok) = Cpanel::LogMeIn::get_loggedin_url( %login, user => $user, service => $service );
        print "granted\n" if $ok;
    }
}
PERL
my $trace = "$site->{dir}/trace";
my ( $status, $out ) =
    run( '.', "strace -f -e trace=file,getpid -o '$trace' $^X -Mblib '$script' 5000" );
plan skip_all => 'strace may not trace here' if $status != 0 && $out =~ /ptrace/;
is( $status, 0,   '10,000 names are tried' ) or diag($out);
is( $out,    q{}, '... and none is granted' );

# The paths that are opened, examined or created after the module is loaded.
open my $file, '<', $trace or die "$trace: $!";
my ( $pids, %paths ) = (0);
while ( my $line = <$file> ) {
    $pids++ if $line =~ /getpid\(\)/;
    next    if $pids < 2;
    my ($arguments) = $line =~ /\A[0-9]+\s+\w+\((.*)\)\s+=/ or next;
    $paths{$_}++ for $arguments =~ /"((?:[^"\\]|\\.)*)"/g;
}
close $file;

# Absolute paths, and those below the site's or the store's folder.
my $own     = qr{\Q$site->{dir}\E(?:/(?:site|store|logmein[.]conf)(?:/.*)?)?};
my $machine = qr{/proc/(?:sys/kernel/random/boot_id|[1-9][0-9]*/stat)|/etc/localtime};
my $of_site = qr{(?:etc|var/cpanel)(?:/[\w.@+-]+){0,2}|[.]|home|alice|alice[.]example|shadow};
my $of_store =
    qr{key[.]old|(?:key|data[.]mdb)(?:[.][0-9a-f]{16})?|[\w-]+[.]mdb(?:-lock)?|write[.]lock};

sub is_outside {
    my ($path) = @_;
    return 1 if $path =~ m{(?:\A|/)[.][.](?:/|\z)};
    return $path !~ m{\A(?:$own|$machine|$of_site|$of_store|/home/alice|)\z};
}
my @outside = grep { is_outside($_) } sort keys %paths;
is_deeply( \@outside, [], 'no path leads out of the site: ' . keys(%paths) . ' of them' );
note( '23: 10,000 names, ' . @outside . ' files opened outside the site' );
ok( ( grep { $_ eq 'etc/shadow' } keys %paths ), 'control: the paths of a login are seen' );
ok( is_outside($_),                              "control: $_ would be" )
    for '../x', 'etc/../../x', '/etc/shadow', '/root', 'var/cpanel/users/../x', 'home/../..';
done_testing();
