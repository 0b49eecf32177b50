#!/usr/bin/perl

# The manual: well-formed, complete, and correct as far as a program can check.

use strict;
use warnings;
use File::Temp ();
use Test::More;
use Test::Pod           ();
use Test::Pod::Coverage ();
use blib;
use lib 'xt/lib';
use Author qw(read_file run tracked);
use Test::Cpanel::LogMeIn;

my @modules = tracked(qr{\Alib/.*[.]pm\z});
Test::Pod::pod_file_ok($_) for @modules, 'bin/logmein', tracked(qr{\Alib/.*[.]pod\z});
for my $file (@modules) {
    my $module = $file =~ s{\Alib/|[.]pm\z}{}gr =~ s{/}{::}gr;
    Test::Pod::Coverage::pod_coverage_ok( $module, { also_private => [qr/\ACLONE\z/] } )
        if $module !~ /::Command::/ && read_file($file) !~ /^Internal to L</m;
    my @heads = read_file($file) =~ /^=head1 (.*)/mg;
    my @known = qw(NAME SYNOPSIS DESCRIPTION METHODS FUNCTIONS CONFIGURATION FILES DIAGNOSTICS
        SECURITY CAVEATS LICENSE);
    my %position = map { $known[$_] => $_ } 0 .. $#known;
    my @order    = map { $position{$_} // () } @heads;
    is_deeply( \@order, [ sort { $a <=> $b } @order ], "$file: headings in the usual order" );
    is( $heads[0], 'NAME', "$file: NAME first" );
}

# Every message of the core is in the manual.
my $manual = read_file('lib/Cpanel/LogMeIn.pm');
my $pod    = $manual =~ s/[BCIL]<([^<>]*)>/$1/gr;
my $source = join '', map { read_file($_) } qw(csrc/login/request.c LogMeIn.xs);
$source =~ s/"\s*\\?\n\s*"//g;
my %say = map { $_ => 1 } $source =~ /"((?:The parameters? |get_loggedin_url is)[^"]+[.])"/g;
cmp_ok( scalar keys %say, '>', 20, 'the sentences are found' );
for my $sentence ( sort keys %say ) {
    my $form = $sentence;
    if ( $pod !~ /^=item \Q$form\E$/m ) {

        # "Likewise 'pass' and 'hostname'."
        $form =~ s/'(?:pass|hostname|goto_uri|remote_addr|tfa_token)'/'user'/;
        $form =~ s/most [0-9,]+ bytes/most 254 bytes/;
    }
    $form =~ s/->/-E<gt>/;
    like( $pod, qr/^=item (?:\QC<\E)?\Q$form\E>?$/m, "the manual has: $sentence" );
}
my $remote = read_file('csrc/remote/remote.c') =~ s/"\s*\\?\n\s*"//gr;
my %remote_say =
    map { $_ => 1 }
    $remote =~ /"((?:The server|There is no|Logins at|A two-|The two-|Too many)[^"]*[.])"/g;
cmp_ok( scalar keys %remote_say, '>', 14, 'the sentences of remote logins are found' );
like( $pod, qr/^=item \Q$_\E$/m, "the manual has: $_" ) for sort keys %remote_say;
unlike( $pod, qr/^=item The parameter 'user' must be purple/m, 'control: and not just any' );
my @codes = read_file('csrc/base/error.c') =~ /\] = "([A-Z]{3,})",/g;
cmp_ok( scalar @codes, '>', 8, 'the codes are found' );
like( $pod, qr/^    \Q$_\E +\S/m, "the manual has the code $_" ) for @codes;
my @reasons = read_file('csrc/login/answer.c') =~ /\[LMI_REASON_\w+\] = "([a-z_]+)"/g;
cmp_ok( scalar @reasons, '>', 7, 'the reasons are found' );
like( $pod, qr/^    \Q$_\E +\S/m, "the manual has the reason $_" ) for @reasons;

# The synopsis runs.
my $site       = Test::Cpanel::LogMeIn->new;
my ($synopsis) = $manual =~ /^=head1 SYNOPSIS\n\n(.*?)^=head1/ms;
my $script     = File::Temp->new;
print {$script} "use strict; use warnings;\n$synopsis";
$script->flush;
my ( $status, $out ) = run( '.', "$^X -Mblib $script" );
like(
    $out,
    qr{\ALocation: https://localhost:2083/cpsess[0-9]{10}/[?]session=lmt_},
    'the SYNOPSIS runs, and logs in'
);
is( $status, 0, '... without a complaint' );
done_testing();
